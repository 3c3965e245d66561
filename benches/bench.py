"""Measures the same SMTP load over different datapaths. scripts/bench prepares and starts it; README.md beside this
file says what the figures mean.

    scripts/bench [--quick] [--rounds N] [--modes NAME,...] [--rows NAME,...] [--gro on|off] [--out DIRECTORY]
"""

import argparse
import datetime
import fnmatch
import json
import os
import random
import signal
import subprocess
import sys
import time

import bed
import modes as modes_of
import rows as rows_of
import table
from bed import Trouble, say


def chosen(text, known, groups, what):
    """Names, patterns and groups, separated by commas, as names in their order."""
    wanted = []
    for word in text.split(","):
        found = groups.get(word) or fnmatch.filter(known, word)
        if not found:
            sys.exit(f"no {what} is called {word}; there are: {' '.join([*known, *groups])}")
        wanted += found
    return list(dict.fromkeys(wanted))


def arguments():
    """What it is told."""
    modes, rows = modes_of.all_modes(), rows_of.all_rows()
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Measures the same SMTP load over different datapaths.",
        epilog=f"Modes: {' '.join(modes)}. Rows: {' '.join(rows)}. A name may have * in it.")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds, in each of which every mode is measured in every row [5; 2 with --quick]")
    parser.add_argument("--modes", metavar="NAMES", default="default", help="modes, separated by commas, or default, or all")
    parser.add_argument("--rows", metavar="NAMES", help="rows, separated by commas, or main, or all [all; main with --quick]")
    parser.add_argument("--quick", action="store_true", help="an eighth of the octets and a third of the time: to see that it works")
    parser.add_argument("--gro", choices=("on", "off"), help="GRO of the middle's wires [as the kernel has it]")
    parser.add_argument("--bulk", type=int, metavar="MIB", help="octets of the big messages of a row together [1024; 128 with --quick]")
    parser.add_argument("--seconds", type=float, metavar="SECS", help="how long mails or NOOPs are sent [1; 0.3 with --quick]")
    parser.add_argument("--out", metavar="DIRECTORY", default=os.path.join(bed.TARGET, "bench"), help="where results.json, table.md and figures.svg go")
    parser.add_argument("--plot", metavar="PYTHON", help=argparse.SUPPRESS)
    parser.add_argument("--needs", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.modes = chosen(args.modes, modes, {"default": list(modes_of.DEFAULT), "all": list(modes)}, "mode")
    args.rows = chosen(args.rows or ("main" if args.quick else "all"), rows,
                       {"main": rows_of.MAIN, "all": list(rows)}, "row")
    args.rounds = args.rounds or (2 if args.quick else 5)
    args.bulk = (args.bulk or (128 if args.quick else 1024)) << 20
    args.seconds = args.seconds or (0.3 if args.quick else 1.0)
    args.modes = [modes[name] for name in args.modes]
    args.rows = [rows[name] for name in args.rows]
    return args


def needs(args):
    """The packages that the chosen modes and rows need, for scripts/bench to unpack."""
    wanted = {"haproxy": "haproxy", "nginx": "libnginx-mod-stream", "postfix": "postfix"}
    packages = {wanted[mode.name] for mode in args.modes if mode.name in wanted}
    if any(isinstance(row, rows_of.Source) for row in args.rows):
        packages.add("postfix")
    return sorted(packages)


def congestion_control(mode):
    """The congestion control that a client's connection really has."""
    asked = mode.row.exec("client", sys.executable, "-c", (
        "import socket\n"
        f"to = socket.create_connection(({mode.target('IPv4')!r}, {bed.PORT}), 5)\n"
        "print(to.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(bytes(1)).decode())\n"))
    return asked.strip().splitlines()[-1]


def raise_modes(args):
    """Starts every mode that can be; the first packets of a new namespace are slow, so each has a load that is not
    counted, and what does not work is known before the rounds begin."""
    up, skipped, control = [], {}, set()
    warm = argparse.Namespace(bulk=16 << 20, seconds=0.2)
    for mode in args.modes:
        why = mode.why_not()
        if why:
            skipped[mode.name] = why
            say(f"skipped: {mode.name}: {why}")
            continue
        try:
            mode.up(args.gro)
            for row in (rows_of.all_rows()["bulk-1"], rows_of.all_rows()["mails-1k-16"]):
                row.measure(mode, warm)
            sink = rows_of.Sink(mode)
            control.add(congestion_control(mode))
            sink.totals()
        except Trouble as trouble:
            mode.stop()
            skipped[mode.name] = f"does not work: {trouble} {mode.last_words()}".strip()
            say(f"FAILED: {mode.name} {skipped[mode.name]}")
            continue
        up.append(mode)
    return up, skipped, sorted(control)


def measure(args, up):
    """The rounds. Within each, all modes of a row stand close together in time, in an order that changes."""
    for mode in up:
        left_out = {}
        for row in args.rows:
            left_out.setdefault(row.why_not(mode), []).append(row.name)
        left_out.pop(None, None)
        for why, names in left_out.items():
            say(f"left out: {mode.name}, {' '.join(names)}: {why}")
    measurements = []
    order = random.Random(1)
    began = time.monotonic()
    for number in range(1, args.rounds + 1):
        for row in args.rows:
            suited = [mode for mode in up if number <= row.rounds_max and not row.why_not(mode)]
            for mode in order.sample(suited, len(suited)):
                made = {"round": number, "mode": mode.name, "row": row.name}
                try:
                    if not mode.is_alive():
                        mode.restart()
                    made |= row.measure(mode, args)
                except Trouble as trouble:
                    made["error"] = str(trouble)
                    say(f"FAILED: {mode.name}, {row.name}, round {number}: {trouble}")
                    if not mode.is_alive():
                        made["error"] += f"; it has ended: {mode.last_words()}"
                measurements.append(made)
        say(f"round {number} of {args.rounds} done after {time.monotonic() - began:.0f} s")
    names = [mode.name for mode in up]
    rows = [row.name for row in args.rows]
    return sorted(measurements, key=lambda m: (m["round"], rows.index(m["row"]), names.index(m["mode"])))


def about(args, control):
    """Where and how it was measured."""
    def said(*argv):
        return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              cwd=bed.ROOT).stdout.strip()
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "kernel": os.uname().release, "cores": len(os.sched_getaffinity(0)), "cpu": model,
        "commit": said("git", "describe", "--always", "--dirty"), "rounds": args.rounds,
        "bulk_octets": args.bulk, "seconds": args.seconds, "gro": args.gro or "default",
        "congestion_control": control, "load_average": os.getloadavg(),
    }


def main():
    args = arguments()
    if args.needs:
        print("\n".join(needs(args)))
        return 0
    rows_of.raise_open_files()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    bed.claim()
    try:
        up, skipped, control = raise_modes(args)
        told = about(args, control)
        measurements = measure(args, up) if up else []
    finally:
        # Another ctrl-C must not keep what was made.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        bed.clean_up()
    rows = {row.name: row for row in args.rows}
    nulls = {mode.name: mode.null for mode in args.modes}
    told["load_average_after"] = os.getloadavg()
    results = table.Results(measurements)
    summary = table.summary(results, rows, nulls)
    os.makedirs(args.out, exist_ok=True)
    whole = {"about": told, "skipped": skipped, "summary": summary, "measurements": measurements,
             "rows": {name: {"title": row.title, "unit": row.unit, "less_is_better": row.less_is_better}
                      for name, row in rows.items()}}
    path = os.path.join(args.out, "results.json")
    with open(path, "w") as file:
        json.dump(whole, file, indent=1)
    with open(os.path.join(args.out, "table.md"), "w") as file:
        file.write(table.markdown(summary, rows, nulls, told))
    print(table.terminal(summary, rows, nulls))
    if args.plot and summary:
        subprocess.run([args.plot, os.path.join(bed.ROOT, "benches", "plot.py"), path,
                        os.path.join(args.out, "figures.svg")], check=True)
    say(f"written to {args.out}")
    failed = sum("error" in m for m in measurements)
    broken = [name for name, why in skipped.items() if why.startswith("does not work")]
    if failed or broken or not up:
        say(f"{failed} measurements failed; modes that do not work: {' '.join(broken) or 'none'}")
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
