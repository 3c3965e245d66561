"""The bench takes no figure from mail that did not arrive, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys

import lab
from lab import ROOT, check, check_that, done, temp_dir

BENCH = os.path.join(ROOT, "benches", "bench.py")
NAME = lab.PREFIX + "bench"
where = temp_dir()
rows, modes = ["bulk-1", "mails-1k-16", "noop-1"], ["routing", "tun-mailguard"]


def start(*options):
    return subprocess.Popen(
        [sys.executable, BENCH, "--quick", "--rounds", "1", "--bulk", "16", "--modes", ",".join(modes), "--out", where,
         *options],
        env={**os.environ, "MAILGUARD_LAB": NAME}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
        # Who runs the tests in the background has it ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def left_behind():
    return [name for name in os.listdir("/run/netns") if name.startswith(NAME)]


bench = start("--rows", ",".join(rows))
said = bench.communicate()[0]
check_that("the bench ends well", bench.returncode == 0, said[-2000:])
with open(f"{where}/results.json") as file:
    results = json.load(file)
check("a figure for each mode in each row",
      {(m["row"], m["mode"]) for m in results["measurements"] if m.get("figure", 0) > 0},
      {(row, mode) for row in rows for mode in modes})
check("nothing is left", left_behind(), [])

# What it counts with: reports of loads and sinks that do not fit are no figures.
sys.path.insert(0, os.path.dirname(BENCH))
import rows as rows_of  # noqa: E402
from bed import Trouble  # noqa: E402

report = {"messages": 10, "messages_failed": 0}
arrived = {"messages": 10, "checked": 10, "check_failures": 0, "aborted_messages": 0, "unknown_commands": 0,
           "bare_cr": 0, "bare_lf": 0}
rows_of.check(report, arrived)
for wrong in ({"messages": 9, "checked": 9}, {"checked": 9}, {"check_failures": 1}, {"aborted_messages": 1}):
    try:
        rows_of.check(report, {**arrived, **wrong})
        check_that(f"{wrong} is no figure", False)
    except Trouble:
        check_that(f"{wrong} is no figure", True)

# Over a guard that is killed no mail arrives.
middle = f"{NAME}-tun-mailguard-middle"
bench = start("--rows", "mails-1k-16")
guard = lab.wait_for("the guard", lambda: subprocess.run(
    ["ip", "netns", "pids", middle], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.split(), pause=0.01)
for pid in guard:
    os.kill(int(pid), signal.SIGKILL)
said = bench.communicate()[0]
check("a run with a dead guard fails", bench.returncode, 1)
with open(f"{where}/results.json") as file:
    results = json.load(file)
check("and has figures of the others only", {m["mode"] for m in results["measurements"] if "figure" in m}, {"routing"})
check("nothing is left", left_behind(), [])

bench = start("--rows", "mails-1k-16", "--seconds", "30")
lab.wait_for("a namespace", lambda: f"{NAME}-routing-server" in left_behind())
bench.send_signal(signal.SIGINT)
bench.communicate()
check("an interrupted run says so", bench.returncode, 130)
check("and leaves nothing", left_behind(), [])
done()
