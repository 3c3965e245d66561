"""SYNs from addresses in 10/8 that belong to nobody, each from another one, and what tests ask meanwhile."""

import contextlib
import os
import random
import re
import signal
import socket
import struct
import time

from lab import IS_BRIDGE, LAST_COUNTER, LEGS, FAMILIES, INSIDE, Client, at_end, check, guard_pid, lab, on, run, send_mail, wait_for

PACE = 30_000  # a second at most, so that mail has its turn
BATCH = 200  # far below what any queue on the way holds


def nobody_hears():
    """The answers to nobody go nowhere."""
    run("guard", "ip", "route", "add", "blackhole", "10.0.0.0/8")
    at_end(lambda: run("guard", "ip", "route", "del", "blackhole", "10.0.0.0/8"))


def ones_sum(octets):
    return sum(struct.unpack(f">{len(octets) // 2}H", octets))


class Reader:
    """How many packets the guard has read from its leg outside."""

    def __init__(self):
        with on("guard"):
            self.file = open("/proc/thread-self/net/dev")

    def packets(self):
        self.file.seek(0)
        # What the kernel puts into a leg is sent, what comes in by a wire is received.
        column = 1 if IS_BRIDGE else 9
        return int(re.search(rf"{LEGS[0]}:(.*)", self.file.read()).group(1).split()[column])

    def wait(self, packets):
        """Until it has read so many, but for what gets lost on the way."""
        end = time.monotonic() + 1
        while self.packets() < packets and time.monotonic() < end:
            time.sleep(0.0005)


def flood(syns):
    """So many SYNs, as fast as the guard reads them, however busy the machine is: of a queue that is full
    it would never see the rest."""
    rng = random.Random(1)
    reader = Reader()
    with on("outside"):
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    to = socket.inet_aton(INSIDE["IPv4"])
    ip_head = struct.pack(">BBHHHBBH", 0x45, 0, 40, 0, 0x4000, 64, 6, 0)
    tcp_tail = struct.pack(">IBBH", 0, 5 << 4, 2, 64240)
    fixed = ones_sum(to + struct.pack(">HH", 6, 20)) + ones_sum(tcp_tail) + 25
    address = (INSIDE["IPv4"], 0)
    began, read = time.monotonic(), reader.packets()
    for number in range(syns):
        if number % BATCH == 0:
            reader.wait(read)
            time.sleep(max(0, began + number / PACE - time.monotonic()))
            read = reader.packets() + BATCH
        # An odd factor gives each number an address of its own.
        source = 10 << 24 | number * 0x9E3779B1 & 0xFFFFFF
        port, seq = rng.randint(1024, 65535), rng.getrandbits(32)
        total = fixed + (source >> 16) + (source & 0xFFFF) + port + (seq >> 16) + (seq & 0xFFFF)
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        packet = (ip_head + struct.pack(">I", source) + to + struct.pack(">HHI", port, 25, seq)
                  + tcp_tail + struct.pack(">HH", ~total & 0xFFFF, 0))
        with contextlib.suppress(BlockingIOError, OSError):
            raw.sendto(packet, address)
    raw.close()
    reader.file.close()


def counters():
    """What the guard prints when it is asked."""
    before = lab("guard", "log").count("Drops:")
    os.kill(guard_pid(), signal.SIGUSR1)
    text = wait_for("counters", lambda: (lambda log: log if log.count("Drops:") > before
                                         and log.rstrip().split()[-2] == LAST_COUNTER else "")(lab("guard", "log")))
    return {name: int(value) for name, value in re.findall(r"^  (\S+)\s+(\d+)$", text, re.M)}


def mail(title, message):
    """A message over each family."""
    for family in FAMILIES:
        with Client(INSIDE[family], timeout=60) as client:
            client.reply()
            check(f"{title}, {family}: mail", send_mail(client, message), b"250 message accepted\r\n")
