"""The bench takes no figure from mail that did not arrive, and leaves nothing behind."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import lab
from lab import ROOT, at_end, check, check_that, done, temp_dir

BENCH = os.path.join(ROOT, "benches", "bench.py")
NAME = lab.PREFIX + "bench"
where = temp_dir()
rows, modes = ["bulk-1", "mails-1k-16", "noop-1"], ["routing", "tun-mailguard"]


def start(*options):
    bench = subprocess.Popen(
        [sys.executable, BENCH, "--quick", "--rounds", "1", "--bulk", "16", "--modes", ",".join(modes), "--out", where,
         *options],
        env={**os.environ, "MAILGUARD_LAB": NAME}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
        # Who runs the tests in the background has it ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    at_end(lambda: bench.poll() is None and bench.send_signal(signal.SIGINT))
    return bench


def left_behind():
    return [name for name in os.listdir("/run/netns") if name.startswith(NAME)]


of_first = [*modes, "bridge-mailguard-poll"]
bench = start("--rows", ",".join(rows), "--modes", ",".join(of_first))
said = bench.communicate()[0]
check_that("the bench ends well", bench.returncode == 0, said[-2000:])
with open(f"{where}/results.json") as file:
    results = json.load(file)
check("a figure for each mode in each row",
      {(m["row"], m["mode"]) for m in results["measurements"] if m.get("figure", 0) > 0},
      {(row, mode) for row in rows for mode in of_first})
check("nothing is left", left_behind(), [])

# A machine that is busy with something else may lose each SYN of the load's own: then there is no figure, and it says so.
flooded = set()
for _ in range(3):
    bench = start("--rows", "noop-1-flood", "--modes", ",".join(of_first))
    said = bench.communicate()[0]
    with open(f"{where}/results.json") as file:
        figures = [m for m in json.load(file)["measurements"] if m.get("figure", 0) > 0]
    check_that("a run says whether all figures are there", (bench.returncode == 0) == (len(figures) == len(of_first)), said[-2000:])
    flooded |= {m["mode"] for m in figures if m["syns_per_second"] > 0}
    if flooded == set(of_first):
        break
check("a flood for each", flooded, set(of_first))
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

# A flood that is held up somewhere, or finds room in the table, is none.
quiet = SimpleNamespace(popen=SimpleNamespace(send_signal=lambda _: None), wait=lambda _: None, out=None, said=lambda _: '{"syns": 100}')
for came, forgotten, is_flood in ((100, 100, True), (49, 100, False), (100, 49, False)):
    flood = rows_of.Flood(SimpleNamespace(has_table=True))
    flood.process, flood.before, flood.began, flood.counted = quiet, (0, 0), 0, lambda c=came, f=forgotten: (c, f)
    try:
        flood.__exit__(None)
        check(f"{came} SYNs that came, {forgotten} that found no room", True, is_flood)
    except Trouble:
        check(f"{came} SYNs that came, {forgotten} that found no room", False, is_flood)

import modes as modes_of  # noqa: E402

check("who looks for packets before it sleeps", {name for name, mode in modes_of.all_modes().items()
                                                 if isinstance(mode, modes_of.Guard) and mode.options[-2:] != ["--busy-poll", 0]},
      {f"{kind}-{word}-poll" for kind in ("tun", "bridge") for word in modes_of.PERSONALITY})

# Over a guard that is killed no mail arrives.
middle = f"{NAME}-tun-mailguard-middle"
bench = start("--rows", "mails-1k-16")


def guards():
    """Whoever is mailguard there: not what only prepares the namespace."""
    pids = subprocess.run(["ip", "netns", "pids", middle], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    # Others have gone when they are looked at.
    with contextlib.suppress(ProcessLookupError):
        return [pid for pid in pids.split() if lab.read(f"/proc/{pid}/comm") == "mailguard\n"]
    return []


for pid in lab.wait_for("the guard", guards, pause=0.01):
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
