"""Floods: SYNs of nobody, clients that never read, lines without end. Mail passes, memory is bounded,
and the limits that were reached are said, but not too often."""

import contextlib
import os
import random
import re
import signal
import socket
import struct
import threading
import time

from lab import (FAMILIES, INSIDE, Client, Server, a_message, at_end, check, check_that, done, guard,
                 guard_pid, guard_rss, lab, on, run, send_mail, wait_for)

SYNS = 200_000
PACE = 30_000  # a second: beyond what the queue of a leg takes, packets of mail get lost as well


def ones_sum(octets):
    return sum(struct.unpack(f">{len(octets) // 2}H", octets))


def flood():
    """SYNs from addresses in 10/8 that belong to nobody."""
    rng = random.Random(1)
    with on("outside"):
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    to = socket.inet_aton(INSIDE["IPv4"])
    ip_head = struct.pack(">BBHHHBBH", 0x45, 0, 40, 0, 0x4000, 64, 6, 0)
    tcp_tail = struct.pack(">IBBH", 0, 5 << 4, 2, 64240)
    fixed = ones_sum(to + struct.pack(">HH", 6, 20)) + ones_sum(tcp_tail) + 25
    address = (INSIDE["IPv4"], 0)
    began = time.monotonic()
    for number in range(SYNS):
        if number % 100 == 0:
            time.sleep(max(0, began + number / PACE - time.monotonic()))
        source = 10 << 24 | rng.getrandbits(24)
        port, seq = rng.randint(1024, 65535), rng.getrandbits(32)
        total = fixed + (source >> 16) + (source & 0xFFFF) + port + (seq >> 16) + (seq & 0xFFFF)
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        packet = (ip_head + struct.pack(">I", source) + to + struct.pack(">HHI", port, 25, seq)
                  + tcp_tail + struct.pack(">HH", ~total & 0xFFFF, 0))
        with contextlib.suppress(BlockingIOError, OSError):
            raw.sendto(packet, address)
    raw.close()


def counters():
    """What the guard prints when it is asked."""
    before = lab("guard", "log").count("Drops:")
    os.kill(guard_pid(), signal.SIGUSR1)
    text = wait_for("counters", lambda: (lambda log: log if log.count("Drops:") > before
                                         and log.rstrip().split()[-2] == "leg-full" else "")(lab("guard", "log")))
    return {name: int(value) for name, value in re.findall(r"^  (\S+)\s+(\d+)$", text, re.M)}


def mail(title, message):
    """A message over each family."""
    for family in FAMILIES:
        with Client(INSIDE[family], timeout=60) as client:
            client.reply()
            check(f"{title}, {family}: mail", send_mail(client, message), b"250 message accepted\r\n")


message = a_message(1_000_000)
# The answers to nobody are to go nowhere.
run("guard", "ip", "route", "add", "blackhole", "10.0.0.0/8")
at_end(lambda: run("guard", "ip", "route", "del", "blackhole", "10.0.0.0/8"))

guard("mailguard", "--memory", "64", "--embryonic-max", "20000")
with Server() as server:
    mail("before", message)
    idle = guard_rss()
    began = time.monotonic()
    thread = threading.Thread(target=flood)
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
