"""Twenty rounds on a very bad line, each beside the same without inspection: what loss costs is told, and
must be of the same order."""

import badline
from lab import check_that, done

longest = {"off": [], "mailguard": []}
for turn in range(20):
    for personality, times in longest.items():
        times.append(badline.run(5, personality, first=1000 * turn)[-1])
middle = {name: sorted(times)[len(times) // 2] for name, times in longest.items()}
print(f"    longest session of a round, median of 20 rounds: {middle}")
check_that("inspection does not double it", middle["mailguard"] < 2 * middle["off"] + 1, str(middle))
done()
