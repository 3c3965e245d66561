"""Floods: SYNs of nobody, clients that never read, lines without end. Mail passes, memory is bounded,
and the limits that were reached are said, but not too often."""

import contextlib
import threading
import time

from lab import (FAMILIES, INSIDE, Client, Server, a_message, check_that, done, guard, guard_rss, lab)
from synflood import counters, flood, mail, nobody_hears

SYNS = 200_000

message = a_message(1_000_000)
nobody_hears()
guard("mailguard", "--memory", "64", "--embryonic-max", "20000")
with Server() as server:
    mail("before", message)
    idle = guard_rss()
    began = time.monotonic()
    thread = threading.Thread(target=flood, args=(SYNS,))
    thread.start()
    while thread.is_alive():
        mail("while SYNs come", message)
    took = time.monotonic() - began
    thread.join()
    mail("afterwards", message)
    rss = guard_rss()
    told = counters()
    print(f"    {SYNS / took:.0f} SYNs a second, RSS {idle} KiB before, {rss} KiB after")
    check_that("SYNs came", told["flows-built"] > SYNS / 2, told)
    check_that("half-open connections are bounded", told["half-open-now"] <= 20_000, told)
    check_that("the oldest gave way", told["embryonic-forgotten"] > SYNS / 2 - 20_000, told)
    check_that("memory is bounded", rss - idle < 64 << 10, f"{idle} to {rss} KiB")
    lines = lab("guard", "log").count("embryonic-forgotten, ")
    check_that("the limit is said, once a second at most", 1 <= lines <= took + 3, f"{lines} in {took:.1f} s")

    # Clients that say much and read nothing.
    hogs = []
    for number in range(150):
        hog = Client(INSIDE[FAMILIES[number % 2]], timeout=10)
        hog.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(200):
                hog.socket.send(b"EXPN all\r\n" * 100)
        hogs.append(hog)
    time.sleep(1)
    mail("beside those who never read", message)
    rss = guard_rss()
    check_that("memory is bounded", rss - idle < 128 << 10, f"{idle} to {rss} KiB")
    for hog in hogs:
        hog.close()

    # A line that does not end.
    with Client(INSIDE["IPv4"], timeout=60) as client:
        client.reply()
        for _ in range(200):
            client.send(b"a" * 100_000)
        rss = guard_rss()
        check_that("memory is bounded", rss - idle < 128 << 10, f"{idle} to {rss} KiB")
        mail("beside a line without end", message)
done()
