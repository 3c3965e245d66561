"""Strategies of a hostile server: Geneva's server side ("Come as You Are", SIGCOMM 2020), split handshakes,
and the tests of Suricata and Snort for SYN/ACKs. The client is the kernel's TCP inside; the hand-made TCP answers
from outside. EXPN is what the client says; the server must never read it."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from catalogue import is_possible, Bystander, compare, is_forbidden, judge
from lab import FAMILIES, INSIDE, REFUSED, Server, check, done, guard, guard_pid, on
from rawtcp import ACK, ECE, FIN, NS, PSH, RAW, RST, SYN, URG, WRAP, Connection, Wire

PAUSE = 0.05
ENTRIES = []


def entry(name, source):
    """Makes a function an entry: it answers the SYN in its own way; the right answer follows."""
    def made(play):
        ENTRIES.append((name, source, play))
        return play
    return made


class Answering(Connection):
    """The end that is connected to."""

    def right_answer(self, **fields):
        """The SYN/ACK that the client is waiting for."""
        self.send(flags=SYN | ACK, seq=self.isn, **fields)

    def hears_acknowledgement(self):
        """Whether the client has acknowledged it."""
        return any(flags & ACK and not flags & RST and ack == (self.isn + 1) % WRAP for flags, _, ack in self.seen)


class Run:
    """One entry in one family: a client inside, the hand-made server outside."""

    def __init__(self, number, name, source, play, family):
        self.number, self.play_entry, self.family = number, play, family
        self.row = source, name, "plain"
        self.verdict, self.seen, self.said = None, [], []

    def play(self, wire):
        kind = socket.AF_INET6 if self.family == "IPv6" else socket.AF_INET
        with on("inside"), socket.socket(kind) as client:
            client.bind((INSIDE[self.family], 0))
            client.settimeout(6)
            c = Answering(wire, self.family, ours=25, theirs=client.getsockname()[1])
            server = threading.Thread(target=self._serve, args=(c,), daemon=True)
            server.start()
            try:
                self.verdict = self._ask(client)
            except ConnectionError:
                self.verdict = "reset" if self.said else "unopened"
            except TimeoutError:
                self.verdict = "HANG" if self.said else "unopened"
        c.ended = True
        server.join(10)
        c.abort()
        c.close()

    def _ask(self, client):
        client.connect((RAW[self.family], 25))
        self.said.append("open")
        file = client.makefile("rb")
        if not file.readline().startswith(b"220"):
            return "reset"
        dialogue = ((b"EXPN %05d\r\n" % self.number, REFUSED), (b"NOOP\r\n", b"250"), (b"QUIT\r\n", b"221"))
        for line, begins in dialogue:
            client.sendall(line)
            reply = file.readline()
            self.said.append(reply)
            if not reply:
                return "reset"
            if not reply.startswith(begins):
                return "mixed"
        return "completes"

    def _serve(self, c):
        """Answers the SYN and then as a mail host."""
        end = time.monotonic() + 8
        c.ended = False
        if not c.until(lambda: c.irs is not None, 5):
            return
        self.play_entry(c)
        while not c.is_open and not c.ended and time.monotonic() < end:
            # Open as soon as it acknowledges what is right.
            c.right_answer()
            c.until(lambda: c.ended or c.hears_acknowledgement(), 0.4)
            c.is_open = c.hears_acknowledgement()
        if not c.true:
            c.push(b"220 mail.example.com ESMTP\r\n")
        while not c.ended and time.monotonic() < end:
            line = c.line(0.3)
            if line is None:
                if c.was_reset or c.fin_heard:
                    return
                continue
            self.seen.append(line)
            verb = line[:4].upper()
            c.push(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n" if verb == b"NOOP" else b"500 what\r\n")


SOUP = FIN | RST | ACK | PSH | URG | ECE | NS


@entry("nothing strange", "control")
def _(_c):
    pass


@entry("simultaneous open", "Geneva server side")
def _(c):
    c.send(flags=RST, seq=c.isn + 100)
    c.send(flags=SYN, seq=c.isn)
    time.sleep(PAUSE)


@entry("simultaneous open with payload", "Geneva server side")
def _(c):
    c.send(b"220 payload\r\n", flags=SYN, seq=c.isn)
    time.sleep(PAUSE)


@entry("SYN/ACK with corrupt ACK, to draw a RST", "Geneva server side")
def _(c):
    c.send(flags=SYN | ACK, seq=c.isn, ack_by=0x1234567)
    time.sleep(PAUSE)


@entry("SYN/ACK with corrupt ACK and payload", "Geneva server side")
def _(c):
    c.send(b"220 payload\r\n", flags=SYN | ACK, seq=c.isn, ack_by=0x1234567)
    time.sleep(PAUSE)


@entry("SYN/ACK twice, the second with payload", "Geneva server side")
def _(c):
    c.right_answer()
    c.send(b"220 payload\r\n", flags=SYN | ACK, seq=c.isn)
    time.sleep(PAUSE)


@entry("SYN/ACK with payload", "Geneva server side")
def _(c):
    c.send(b"220 payload\r\n", flags=SYN | ACK, seq=c.isn)
    time.sleep(PAUSE)

for window in (10, 98):
    @entry(f"window of {window}, so that the request comes in segments", "Geneva server side")
    def _(c, window=window):
        c.scale, c.window = None, window
        c.right_answer()


@entry("null flags", "Geneva server side")
def _(c):
    c.send(flags=0, seq=c.isn)
    c.send(b"220 payload\r\n", flags=0, seq=c.isn)
    time.sleep(PAUSE)


@entry("flag soup, then SYN/ACK", "Geneva server side")
def _(c):
    c.send(flags=SOUP, seq=c.isn, ack=0)
    c.send(flags=SOUP & ~RST, seq=c.isn)
    time.sleep(PAUSE)


@entry("RST with wrong ACK, then SYN/ACK", "Geneva server side")
def _(c):
    c.send(flags=RST | ACK, seq=0, ack_by=50)
    time.sleep(PAUSE)


@entry("RST with bad checksum, then SYN/ACK", "Geneva server side")
def _(c):
    c.send(flags=RST | ACK, seq=0, cksum=1)
    time.sleep(PAUSE)


@entry("FIN+ACK, then SYN/ACK", "Geneva server side")
def _(c):
    c.send(flags=FIN | ACK, seq=c.isn)
    time.sleep(PAUSE)


@entry("split handshake in four: ACK, then SYN", "Snort/Suricata")
def _(c):
    c.send(flags=ACK, seq=c.isn)
    c.send(flags=SYN, seq=c.isn)
    time.sleep(PAUSE)


@entry("split handshake in five: ACK with another number, SYN with payload", "Snort/Suricata")
def _(c):
    c.send(flags=ACK, seq=c.isn + 7000)
    c.send(b"220 payload\r\n", flags=SYN, seq=c.isn)
    time.sleep(PAUSE)


@entry("SYN/ACK repeated with another number", "Snort/Suricata")
def _(c):
    c.send(flags=SYN | ACK, seq=c.isn)
    c.send(flags=SYN | ACK, seq=c.isn + 9999)
    time.sleep(PAUSE)


@entry("SYN/ACK repeated with another ACK", "Snort/Suricata")
def _(c):
    c.send(flags=SYN | ACK, seq=c.isn)
    c.send(flags=SYN | ACK, seq=c.isn, ack_by=1)
    time.sleep(PAUSE)


@entry("fake SYN/ACK with bad checksum and another number", "Snort/Suricata")
def _(c):
    c.send(flags=SYN | ACK, seq=c.isn + 9999, cksum=1)
    time.sleep(PAUSE)


@entry("fake SYN/ACK with small TTL and another number", "Snort/Suricata")
def _(c):
    c.send(flags=SYN | ACK, seq=c.isn + 9999, ttl="low")
    time.sleep(PAUSE)


@entry("SYN/ACK without options, then with them", "Snort/Suricata")
def _(c):
    c.send(flags=SYN | ACK, seq=c.isn, options=b"", ttl="low")
    time.sleep(PAUSE)


@entry("SYN/ACK with Fast Open, MPTCP and MD5 options", "Snort/Suricata")
def _(c):
    c.send(flags=SYN | ACK, seq=c.isn, options=b"\x22\x06cook\x1e\x0c\0\x01" + bytes(8))
    time.sleep(PAUSE)

wire = Wire()
guard()
pid = guard_pid()
began = time.monotonic()
runs = [Run(number, *e, family) for number, (e, family) in enumerate((e, f) for e in ENTRIES if is_possible(e[0]) for f in FAMILIES)]
with Server():
    bystander = Bystander()
    with ThreadPoolExecutor(30) as pool:
        for ended in [pool.submit(r.play, wire) for r in runs]:
            ended.result()
    bystander.end()
    for family in FAMILIES:
        bystander.mail(family)
    check(f"mail beside the attacks was accepted, {len(bystander.sent)} times", bystander.wrong, [])
check("the guard lives", guard_pid(), pid)
for r in runs:
    if any(is_forbidden(line.rstrip(b"\r\n")) for line in r.seen):
        r.verdict = "BYPASS"
judge(runs)
compare("Server side", runs)
print(f"    {len(ENTRIES)} entries, {len(runs)} runs, {time.monotonic() - began:.1f} s")
done()
