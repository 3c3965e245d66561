"""A loss, a burst, reordering, a lost tail and lost acknowledgements, on either wire and in either direction,
with a round trip of 60 ms: each costs no more than without inspection, within a round trip (kernel TCP)."""

from lab import check, done
from losstable import Bench, lines, rows

bench = Bench()
columns, worse = bench.compare(rows())
print("    times in round trips, median and worst: off, mailguard")
for line in lines(columns):
    print("    " + line)
check("rows that are worse by more than a round trip", worse, [])
done()
