"""2 % loss on every wire, each way, with inspection and without, by turns, with a round trip of 60 ms and with
next to none: what is lost on the way to the guard or behind it is repaired about as fast as the two hosts
would repair it without a guard. Only the mail data is timed: a lost packet of the dialogue costs a time-out of
200 ms, with a guard and without."""

import statistics

from lab import a_message, check_that, done, guard, lab, stuffed
from losstable import Bench, a_port

# Random loss scatters single mails by a factor of four; a guard that lets the sender run into time-outs costs
# a factor of ten.
MAILS, ROUNDS = 30, 5


def ratio(title, bench, size, at_least):
    """Compares the median times."""
    mail = stuffed(a_message(size))
    times = {"off": [], "mailguard": []}
    for _ in range(ROUNDS):
        for personality, measured in times.items():
            guard(personality)
            measured += bench.mails(personality, [("in", a_port()) for _ in range(MAILS)], mail)
    medians = {name: statistics.median(measured) for name, measured in times.items()}
    for name, measured in times.items():
        deciles = statistics.quantiles(measured, n=10)
        print(f"    {title}: {name:9}: median {medians[name] * 1000:6.0f} ms, "
              f"nine of ten between {deciles[0] * 1000:.0f} and {deciles[-1] * 1000:.0f} ms")
    ratio = medians["off"] / medians["mailguard"]
    check_that(f"{title}: mail goes at {ratio:.2f} of the speed without inspection, at least {at_least}", ratio >= at_least)


lab("loss", 2)
bench = Bench(0)
ratio("no delay, 3 MB", bench, 3_000_000, 0.4)
bench.close()
bench = Bench()
ratio("60 ms, 300 kB", bench, 300_000, 0.6)
done()
