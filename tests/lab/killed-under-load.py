"""The guard is killed in the middle of load: closed, nothing passes until it is back, and then new mail
does; open, new connections pass uninspected."""

import json
import signal
import time

import lab
from lab import (FAMILIES, INSIDE, MAILGUARD, Client, check, check_that, done, guard, read, run, start,
                 temp_dir, wait_for)

where = temp_dir()


def sink(name):
    """A sink, and the file in which it writes every command line down."""
    transcript = f"{where}/{name}.transcript"
    process = start("inside", MAILGUARD, "sink", "--listen", "[::]:25", "--expect-load", "--json",
                    "--transcript", transcript, log=f"{where}/{name}")
    wait_for("the sink", lambda: run("inside", "ss", "-Hltn", "sport = :25").stdout)
    return process, transcript


def totals(process, name):
    """What it says in the end."""
    process.send_signal(signal.SIGTERM)
    process.wait(10)
    said = read(f"{where}/{name}")
    return json.loads(said[said.index("{"):])


def load(host, *words):
    return run("outside", MAILGUARD, "load", f"{host}:25", *words)


def under_load(transcript):
    """Load on both families that outlasts the guard; returns when it flows."""
    before = len(read(transcript))
    for host in (INSIDE["IPv4"], f"[{INSIDE['IPv6']}]"):
        start("outside", MAILGUARD, "load", f"{host}:25", "--connections", "20", "--messages", "50",
              "--size", "200K", "--duration", "60", "--count", "1000000")
    wait_for("load", lambda: len(read(transcript)) > before + 20_000)


def connects(address):
    try:
        Client(address, timeout=2).close()
        return True
    except OSError:
        return False


process, transcript = sink("closed")
guard("mailguard", "--fail-closed")
for turn in range(2):
    under_load(transcript)
    lab.lab("guard", "kill")
    time.sleep(0.3)
    before = read(transcript)
    for family in FAMILIES:
        check(f"turn {turn}, {family}: closed, a new connection gets through", connects(INSIDE[family]), False)
    check(f"turn {turn}: octets of commands that got through", len(read(transcript)) - len(before), 0)
    guard("mailguard", "--fail-closed")
    for family, host in (("IPv4", INSIDE["IPv4"]), ("IPv6", f"[{INSIDE['IPv6']}]")):
        wait_for("the new guard", lambda f=family: connects(INSIDE[f]))
        ran = load(host, "--connections", "10", "--count", "100", "--size", "10K")
        check_that(f"turn {turn}, {family}: new mail passes the new guard", ran.returncode == 0, ran.stdout)
check_that("no command passed that the guard does not let through", "EHLO" not in read(transcript))
said = totals(process, "closed")
check("messages that were changed", said["check_failures"], 0)
check_that("messages arrived", said["messages"] >= 400, said)
lab.lab("guard", "stop")

process, transcript = sink("open")
guard("mailguard", "--fail-open")
under_load(transcript)
check_that("inspected while the guard lives", "EHLO" not in read(transcript))
lab.lab("guard", "kill")
for family, host in (("IPv4", INSIDE["IPv4"]), ("IPv6", f"[{INSIDE['IPv6']}]")):
    ran = load(host, "--connections", "10", "--count", "100", "--size", "10K", "--ehlo")
    check_that(f"{family}: open, new connections pass", ran.returncode == 0, ran.stdout)
check_that("and are not inspected", "EHLO" in read(transcript))
check("messages that were changed", totals(process, "open")["check_failures"], 0)
done()
