"""The loss table with Cubic, Reno and BBR, with SACK and timestamps and without: no row costs more than without
inspection, within a round trip. MAILGUARD_SNAPSHOT=write writes loss-table.md beside this file anew."""

import itertools
import os
import statistics

from lab import at_end, check, done
from losstable import PLACES, ROUND_TRIP, SIZE, Bench, excess, lines, rows

HEAD = f"""\
How long mail data of {SIZE} octets takes from the first octet to the reply, in round trips of {ROUND_TRIP * 1000:.0f} ms: kernel
TCP through the lab, `relay.py` in both wires. Median and worst of {len(PLACES)} or more places of the fault, rounded to a
quarter, with inspection (`mailguard`) and without (`off`); `in` is mail from outside to a server inside. Measured
once, on two busy cores. Written by
`MAILGUARD_SNAPSHOT=write tests/lab/run soak-loss-table`; the soak fails when a median is worse by more than a
round trip each of several times.

| congestion control | SACK | timestamps | mail | fault | wire | off, median | worst | mailguard, median | worst |
|---|---|---|---|---|---|---|---|---|---|
"""
YES_NO = ("no", "yes")

bench = Bench()
at_end(bench.kernel)
text = HEAD
for congestion, sack, timestamps in itertools.product(("cubic", "reno", "bbr"), (1, 0), (1, 0)):
    name = f"{congestion} | {YES_NO[sack]} | {YES_NO[timestamps]}"
    bench.congestion = congestion
    bench.kernel(sack, timestamps)
    columns, worse = bench.compare(rows(), rounds=6)
    check(f"{name}: rows that are worse by more than a round trip", worse, [])
    most = max(columns["off"], key=lambda row: excess(columns, row))
    mean = statistics.mean(excess(columns, row) for row in columns["off"])
    print(f"    excess in round trips: mean {mean / ROUND_TRIP:.2f}, most {excess(columns, most) / ROUND_TRIP:.2f} ({most})")
    text += "".join(line + "\n" for line in lines(columns, f"{name} | "))
if os.environ.get("MAILGUARD_SNAPSHOT") == "write":
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "loss-table.md"), "w") as file:
        file.write(text)
done()
