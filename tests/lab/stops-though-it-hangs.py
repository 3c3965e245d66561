"""Nobody reads what the guard prints, and it stands still: it can be stopped all the same, by a second
signal at once, and by one alone after a while."""

import signal
import subprocess
import time

from lab import MAILGUARD, check, check_that, command, done, run, wait_for


def stuck(leg):
    """A guard whose standard output is full."""
    process = subprocess.Popen(
        command("guard", [MAILGUARD, "run", "--outside", f"{leg}o", "--inside", f"{leg}i", "--fail-open"]),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stderr.readline()
    while "guarding" not in line:
        line = process.stderr.readline()
    for _ in range(60):
        process.send_signal(signal.SIGUSR1)
        time.sleep(0.02)
    time.sleep(0.5)
    return process


process = stuck("two")
process.send_signal(signal.SIGTERM)
time.sleep(1)
check("it stands still, one signal or not", process.poll(), None)
process.send_signal(signal.SIGINT)
check("the second one ends it", process.wait(2), 1)

process = stuck("one")
began = time.monotonic()
process.send_signal(signal.SIGTERM)
check("in the end the first one does", process.wait(15), 1)
check_that("not before those who print had their time", time.monotonic() - began > 5)
wait_for("the legs to vanish", lambda: "oneo" not in run("guard", "ip", "link").stdout)
done()
