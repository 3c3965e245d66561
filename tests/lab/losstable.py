"""What the loss tables share: mails in parallel through wires with a round trip of 60 ms, a fault for each.

With less, the relay between the wires, which is a program like any other, is busy enough on two processors to be late
by a round trip itself. Measured is the time from the first octet of the mail data to the reply to it, at the client. Both columns are measured in
the same minute, by turns, and a row counts as worse only if it is so in every round: the machine may be
busy with something else in one of them.
"""

import concurrent.futures
import contextlib
import itertools
import math
import os
import random
import socket
import statistics
import sys
import time

import relay
from lab import FAMILIES, INSIDE, OUTSIDE, Client, Server, a_message, fail, guard, on, run, sha256, stuffed

DELAY_MS = 15
ROUND_TRIP = 4 * DELAY_MS / 1000
SIZE = 300_000
MAIL = stuffed(a_message(SIZE))
# Segments of the client before the mail: the pipelined commands and DATA.
BEFORE = 2
SEGMENTS = len(MAIL) // 1448
PLACES = (15, 35, 55, 75)
PARALLEL = 8
ROUNDS = 4
# What a busy machine may add to a median.
SLACK = ROUND_TRIP / 6
TRIES = 5

# In the way of the mail: what happens at a place, in percent of the segments (data) or of an eighth as many
# acknowledgements: about so many there are at least, however busy the receiver is.
FAULTS = {
    "a segment lost": lambda at: {"drop_data": [at(1)]},
    "3 segments lost": lambda at: {"drop_data": [at(1) + n for n in range(3)]},
    "10 segments lost": lambda at: {"drop_data": [at(1) + n for n in range(10)]},
    "a segment late by 3": lambda at: {"hold": [at(1), 3]},
    "a segment late by 10": lambda at: {"hold": [at(1), 10]},
    "a segment late by 30": lambda at: {"hold": [at(1), 30]},
    "a segment late by 100": lambda at: {"hold": [at(1), 100]},
    "the last segment lost": lambda at: {"drop_last": 1},
    "an acknowledgement lost": lambda at: {"drop_ack": [at(8), 1, 1]},
    "20 acknowledgements lost": lambda at: {"drop_ack": [at(8), 20, ROUND_TRIP]},
}

# Not where another test of the same lab has just left thousands in TIME-WAIT.
_ports = itertools.count({"soak-loss-table.py": 20_000, "soak-loss-costs-little.py": 45_000}.get(
    os.path.basename(sys.argv[0]), 50_000))


def a_port():
    """A client port that no connection has had."""
    return next(_ports)


class LightServer(Server):
    """Keeps the digest of the mail data only, as it came over the wire."""

    def _mail_data(self, file):
        whole = bytearray()
        while not whole.endswith(b"\r\n.\r\n"):
            octets = file.read1(1 << 18)
            if not octets:
                return
            whole += octets
        self.digests.append(sha256(bytes(whole)))


class PortClient(Client):
    """A client whose port and congestion control are chosen."""

    def __init__(self, address, side, port, congestion):
        self.by_octet = False
        self.heard = b""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with on(side):
            self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(20)
        # Another test may have left the port in TIME-WAIT.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("::" if ":" in address else "0.0.0.0", port))
        self.socket.connect((address, 25))
        self.file = self.socket.makefile("rb")


def mail_time(way, port, congestion="cubic", mail=MAIL):
    """Seconds from the mail data to the reply; the refused VRFY moves all offsets behind it."""
    hosts, side = (INSIDE, "outside") if way == "in" else (OUTSIDE, "inside")
    with PortClient(hosts[FAMILIES[port % 2]], side, port, congestion) as client:
        client.reply()
        client.send(b"VRFY bob\r\nHELO client\r\nMAIL FROM:<alice@outside.example>\r\nRCPT TO:<bob@inside.example>\r\n")
        codes = [client.reply()[:3] for _ in range(4)]
        codes.append(client.say("DATA")[:3])
        since = time.monotonic()
        client.send(mail)
        codes.append(client.reply()[:3])
        took = time.monotonic() - since
    if codes != [b"500", b"250", b"250", b"250", b"354", b"250"]:
        raise ConnectionError(f"the replies were {codes}")
    return took


class Bench:
    """Relay and servers, and the times that were measured between them."""

    def __init__(self, delay_ms=DELAY_MS):
        # The guard and all programs of the test inherit it: they are to be late for nothing else.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, -15)
        self.congestion = "cubic"
        self.relay = relay.Relay(delay_ms) if delay_ms else None
        self.servers = {"in": LightServer("inside"), "out": LightServer("outside")}

    def close(self):
        """Ends the servers, so that another bench may begin."""
        for server in self.servers.values():
            server.close()

    def kernel(self, sack=1, timestamps=1):
        """What the kernels of both hosts agree upon; to be put back at the end."""
        for side in ("outside", "inside"):
            run(side, "sysctl", "-qw", f"net.ipv4.tcp_sack={sack}", f"net.ipv4.tcp_timestamps={timestamps}")

    def times(self, personality, rows, places=PLACES):
        """Of each row, a tuple of fault, wire and way of the mail: the times at all places."""
        guard(personality)
        times = {row: [] for row in rows}
        jobs = list(itertools.product(rows, places))
        # What disturbs the machine for a moment shall not meet all the mails of a row.
        random.Random(len(times)).shuffle(jobs)
        self.mails(personality, [(way, a_port()) for way in ("in", "out") * PARALLEL])
        # How many acknowledgements a receiver sends is its own affair: a place may not come.
        for _ in range(TRIES):
            ports = [self.strike(row, place) for row, place in jobs]
            measured = self.mails(personality, [(row[2], port) for (row, _), port in zip(jobs, ports)])
            missed = []
            for (row, place), port, took in zip(jobs, ports, measured):
                if row[0] and not any(lane["struck"] for lane in self.relay.report(port).values()):
                    missed.append((row, place))
                else:
                    times[row].append(took)
            jobs = missed
            if not jobs:
                break
        for row, place in jobs:
            fail(f"{personality}: {row} at {place} % has struck none of {TRIES} mails")
        return times

    def strike(self, row, place):
        """Chooses a port for a mail and what will happen to it."""
        port = a_port()
        fault, wire, _ = row
        if fault:
            words = FAULTS[fault](lambda most: BEFORE + SEGMENTS * place // (100 * most))
            where = relay.TO_CLIENT if "drop_ack" in words else relay.TO_SERVER
            self.relay.strike(port, wire, where, words)
        return port

    def mails(self, personality, jobs, mail=MAIL):
        """Sends a mail for each way and port, and returns the times in that order."""
        before = {way: len(server.digests) for way, server in self.servers.items()}
        with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
            futures = [pool.submit(mail_time, way, port, self.congestion, mail) for way, port in jobs]
        times = []
        for (way, port), future in zip(jobs, futures):
            try:
                times.append(future.result())
            except OSError as error:
                fail(f"{personality}: mail {way} from port {port}: {error}")
                times.append(math.inf)
        digests = [digest for way, server in self.servers.items() for digest in server.digests[before[way]:]]
        if digests != [sha256(mail)] * len(jobs):
            fail(f"{personality}: of {len(jobs)} mails {digests.count(sha256(mail))} arrived whole")
        return times

    def compare(self, rows, rounds=ROUNDS, places=PLACES):
        """Measures both columns; rows whose median is worse by more than a round trip again, with what was
        measured before. Returns both, and the rows that stayed worse."""
        columns = {name: {row: [] for row in rows} for name in ("off", "mailguard")}
        worse = list(rows)
        for _ in range(rounds):
            for name, column in columns.items():
                for row, times in self.times(name, worse, places).items():
                    column[row] += times
            worse = [row for row in worse if excess(columns, row) > ROUND_TRIP + SLACK]
            if not worse:
                break
        return columns, worse


def excess(columns, row):
    """By how much the median with inspection is more than without."""
    return statistics.median(columns["mailguard"][row]) - statistics.median(columns["off"][row])


def rows(ways=("in", "out"), faults=tuple(FAULTS)):
    """All combinations."""
    every = [(fault, wire, way) for way in ways for fault in faults for wire in ("outside", "inside")]
    return [(None, "", way) for way in ways] + every


def lines(columns, title=""):
    """The rows of the table; times in round trips, rounded to a quarter."""
    def trips(seconds):
        if math.isinf(seconds):
            return "never"
        return f"{math.floor(4 * seconds / ROUND_TRIP + 0.5) / 4:.2f}"

    for row in columns["off"]:
        fault, wire, way = row
        cells = [trips(of(columns[name][row])) for name in ("off", "mailguard") for of in (statistics.median, max)]
        yield f"| {title}{way} | {fault or 'none'} | {wire} | {' | '.join(cells)} |"
