"""A million SYNs, each from another address, while mail passes: with the limits as they are, and with as many
half-open connections as there are SYNs. The resident memory is what src/limits.rs says, and comes back."""

import threading
import time

from lab import Server, a_message, check_that, done, guard, guard_rss, wait_for
from synflood import counters, flood, mail, nobody_hears

SYNS = 1_000_000
EMBRYONIC_MAX = 1 << 16  # src/limits.rs
FLOW = 1700  # octets, its places in the table included (src/limits.rs)
MARGIN = 32 << 10  # KiB

message = a_message(1_000_000)
nobody_hears()
for options, half_open in (((), EMBRYONIC_MAX), (("--embryonic-max", "0"), SYNS)):
    title = " ".join(options) or "as it is"
    # However busy the machine is, none times out before all are counted.
    guard("mailguard", "--timeout-embryonic", "0:03:00", *options)
    with Server() as server:
        mail(f"{title}: before", message)
        idle = guard_rss()
        began, highest, mails = time.monotonic(), 0, 0
        thread = threading.Thread(target=flood, args=(SYNS,))
        thread.start()
        while thread.is_alive():
            mail(f"{title}: while SYNs come", message)
            mails += 2
            highest = max(highest, guard_rss())
        took = time.monotonic() - began
        thread.join()
        told = counters()
        highest = max(highest, guard_rss())
        per_flow = (highest - idle) * 1024 / max(1, told["half-open-now"])
        print(f"    {title}: {SYNS} SYNs in {took:.0f} s, {mails} mails meanwhile, {told['flows-built']} flows, "
              f"{told['half-open-now']} half-open, RSS {idle} KiB before, {highest} KiB at most: "
              f"{per_flow:.0f} octets a half-open connection")
        check_that(f"{title}: they came", told["flows-built"] > SYNS * 0.98, told)
        check_that(f"{title}: half-open connections", half_open * 0.98 < told["half-open-now"] <= half_open + 2,
                   told["half-open-now"])
        check_that(f"{title}: memory", highest - idle < half_open * FLOW / 1024 + MARGIN, f"{idle} to {highest} KiB")
        mail(f"{title}: afterwards", message)
        wait_for("time-outs", lambda: counters()["half-open-now"] == 0, 240, 1)
        wait_for("the memory comes back", lambda: guard_rss() < idle + MARGIN + (highest - idle) / 10, 30, 1)
        print(f"    {title}: RSS {guard_rss()} KiB when they are forgotten")
        mail(f"{title}: in the end", message)
done()
