"""What lib.erate, SniffJoke, the tests of Snort, Suricata and Zeek, and Evader have that the others have not."""

import random
import time

from catalogue import SPOILED, entry, play
from lab import done
from rawtcp import ACK, FIN, PSH, RST, SYN, URG, cut, fragments

PAUSE = 0.03

SOURCE = "lib.erate"
for name, fields in (
        ("small TTL", {"ttl": "low"}), ("TTL 0", {"ttl": 0}), ("TTL 1", {"ttl": 1}),
        ("bad TCP checksum", {"cksum": 1}), ("wrong protocol", {"protocol": 17}),
        ("reserved protocol", {"protocol": 255}), ("wrong version", {"version": 5}),
        ("short total length", {"total": -20}), ("long total length", {"total": 1400}),
        ("wrong sequence number", {"at": 0x3000_0000}), ("bad data offset", {"doff": 1}),
        ("no ACK flag", {"flags": PSH}),
        ("SYN+FIN flags", {"flags": SYN | FIN}), ("all flags", {"flags": 0xFF}), ("no flags", {"flags": 0})):
    @entry(f"inert packet: {name}", SOURCE, is_inert=name == "all flags")  # Linux sees the RST in them
    def _(c, t, fields=fields):
        c.send(t.decoy, **fields)
        time.sleep(PAUSE)

for name, fields in (("header length", {"ihl": 3}), ("IP checksum", {"ip_sum": 0x1111}),
                     ("invalid option", {"ip_options": b"\x44\xff\5\0"}),
                     ("deprecated option", {"ip_options": b"\x88\4\0\0"})):
    @entry(f"inert packet: {name}", SOURCE, families=("IPv4",))
    def _(c, t, fields=fields):
        c.send(t.decoy, **fields)
        time.sleep(PAUSE)

for name, order in (("in order", 1), ("reversed", -1)):
    @entry(f"cut within the keyword, {name}", SOURCE, kind="plain")
    def _(c, t, order=order):
        for begin, end in ((0, 2), (2, len(t.truth)))[::order]:
            c.send(t.truth[begin:end], at=begin)
        c.commit(t.truth)

    @entry(f"five segments, {name}", SOURCE, kind="plain")
    def _(c, t, order=order):
        for at, piece in cut(t.truth, 9)[::order]:
            c.send(piece, at=at)
        c.commit(t.truth)

    @entry(f"two fragments, {name}", SOURCE, kind="plain")
    def _(c, t, order=order):
        c.send_fragments(fragments(c.segment(t.truth), 40)[::order])
        c.commit(t.truth)


@entry("a pause within the line", SOURCE, kind="plain")
def _(c, t):
    c.send(t.truth[:2])
    time.sleep(1.5)
    c.send(t.truth[2:], at=2)
    c.commit(t.truth)


@entry("RST with small TTL, before the line", SOURCE, kind="plain")
def _(c, _t):
    c.send(flags=RST, ttl="low")
    time.sleep(PAUSE)


@entry("RST with small TTL, within the line", SOURCE, kind="plain")
def _(c, t):
    c.send(t.truth[:2])
    c.send(flags=RST, at=2, ttl="low")
    time.sleep(PAUSE)
    c.send(t.truth[2:], at=2)
    c.commit(t.truth)

SOURCE = "SniffJoke"
FAKES = {
    "data": lambda c, t, f: c.send(t.decoy, **f),
    # In the place of the next line, which is as long.
    "data of the future": lambda c, t, f: c.send(b"EXPN after\r\n", at=len(t.truth), **f),
    "FIN": lambda c, t, f: c.send(flags=FIN | ACK, **f),
    "RST": lambda c, t, f: c.send(flags=RST | ACK, **f),
    "SYN": lambda c, t, f: c.send(flags=SYN, at=0x100, **f),
    "ACK shifted": lambda c, t, f: c.send(flags=ACK, ack_by=-20, **f),
    "number shifted": lambda c, t, f: c.send(t.decoy, at=-7, **f),
    "window of 0": lambda c, t, f: c.send(flags=ACK, window=0, **f),
    "close": lambda c, t, f: (c.send(t.decoy[:9], flags=FIN | PSH | ACK, **f), c.send(flags=RST, at=10, **f)),
}
for fake, send in FAKES.items():
    for name, fields, families in (("bad checksum", {"cksum": 1}, ("IPv4", "IPv6")),
                                   ("small TTL", {"ttl": "low"}, ("IPv4", "IPv6")),
                                   ("malformed IP option", {"ip_options": b"\x44\xff\5\0"}, ("IPv4",))):
        @entry(f"fake {fake}, {name}", SOURCE, families=families)
        def _(c, t, send=send, fields=fields):
            send(c, t, fields)
            time.sleep(PAUSE)

SOURCE = "Snort/Suricata/Zeek"

# How one segment can lie on another that waits. A line before the true one leaves room for a hole.
LAY = {
    "the same place": (40, 52), "inside": (44, 48), "same start, shorter": (40, 48), "same end, shorter": (44, 52),
    "wider": (36, 56), "same start, longer": (40, 56), "same end, longer": (36, 52), "over the head": (36, 48),
    "over the tail": (44, 56)}
for name, (begin, end) in LAY.items():
    for what, turn in (("the decoy waits", 1), ("the truth waits", -1)):
        @entry(f"overlap: {what}, the other comes to {name}", SOURCE)
        def _(c, t, begin=begin, end=end, turn=turn):
            before = b"NOOP " + b"b" * 37 + b"\r\n"
            texts = (before + t.decoy, before + t.truth)[::turn]
            c.send(texts[0][40:52], at=40)
            c.send(texts[1][begin:end], at=begin)
            true = before + t.truth
            c.send(true[:36])
            c.send(true[56:], at=56)
            t.replies_before = 1
            c.commit(true)


@entry("gap that is filled late", SOURCE, kind="plain")
def _(c, t):
    c.send(t.truth[30:], at=30)
    time.sleep(0.2)
    c.send(t.truth[:30])
    c.commit(t.truth)


@entry("RST with data at the exact number: true", SOURCE, is_inert=True)
def _(c, t):
    c.send(t.decoy, flags=RST)
    time.sleep(PAUSE)


@entry("RST before data that is not acknowledged", SOURCE, kind="plain")
def _(c, t):
    c.send(t.truth)
    c.send(flags=RST)
    c.commit(t.truth)


@entry("RST behind data that is not acknowledged: true", SOURCE, kind="plain", is_inert=True)
def _(c, t):
    c.send(t.truth)
    c.send(flags=RST, at=len(t.truth))
    c.commit(t.truth)

for count in (1, 3):
    @entry(f"urgent octets that a receiver takes out, {count}", SOURCE, kind="plain")
    def _(c, t, count=count):
        # Without the guard each x is taken out and EXPN is read.
        said = b""
        for letter in t.truth[:count]:
            c.send(bytes([letter]) + b"x", at=len(said), flags=PSH | ACK | URG, urgent=2)
            said += bytes([letter]) + b"x"
            time.sleep(PAUSE)
        c.commit(said + t.truth[count:])


@entry("urgent octet that makes a NOOP look like none", SOURCE, is_inert=True)
def _(c, t):
    c.send(t.truth[:2], flags=PSH | ACK | URG, urgent=200)
    c.send(t.truth[2:], at=2, flags=PSH | ACK | URG, urgent=0)
    c.commit(t.truth)

# Fast Open. The server inside takes data on a SYN, whatever the cookie.
for name, option in (("no option", b""), ("empty cookie", b"\x22\2"), ("junk cookie", b"\x22\x0a" + b"cookieee"),
                     ("experimental option, junk cookie", b"\xfe\x0c\xf9\x89" + b"cookieee")):
    @entry(f"Fast Open: {name}", SOURCE, stage="opening", sack=False, scale=None)
    def _(c, t, option=option):
        c.send(t.decoy, flags=SYN, seq=c.isn, options=c.syn_options() + option)
        c.connect()

    @entry(f"Fast Open: {name}, the true line on the SYN", SOURCE, kind="plain", stage="opening", sack=False,
           scale=None)
    def _(c, t, option=option):
        c.send(t.truth, flags=SYN, seq=c.isn, options=c.syn_options() + option)
        c.connect()


@entry("SYN/ACK from the client", SOURCE, kind="plain")
def _(c, _t):
    c.send(flags=SYN | ACK)
    c.send(flags=SYN | ACK, at=-1)
    time.sleep(PAUSE)


@entry("SYN repeated with other timestamps", SOURCE, kind="plain", stage="opening")
def _(c, _t):
    c.send(flags=SYN, seq=c.isn, options=c.syn_options()[:8] + c.stamp(-100_000))
    c.send(flags=SYN, seq=c.isn, options=c.syn_options()[:8] + c.stamp(-50_000))
    c.connect()


@entry("SYN repeated with and without options", SOURCE, kind="plain", stage="opening", timestamps=False)
def _(c, _t):
    c.send(flags=SYN, seq=c.isn, options=b"")
    c.send(flags=SYN, seq=c.isn)
    c.connect(options=b"")

for scale in (0, 14, 15, 255):
    @entry(f"window scale {scale}", SOURCE, kind="plain", scale=scale)
    def _(_c, _t):
        pass


@entry("a small window", SOURCE, kind="plain", stage="opening", scale=None)
def _(c, _t):
    c.window = 60
    c.open()


@entry("middle of a connection that nobody opened", SOURCE, kind="plain", stage="opening")
def _(c, t):
    c.send(t.truth)
    c.send(t.truth, flags=FIN | PSH | ACK)
    time.sleep(PAUSE)
    c.connect()


@entry("truncated TCP headers", SOURCE)
def _(c, t):
    whole = c.segment(t.decoy)
    for size in (0, 4, 8, 13, 19, 20, 31):
        c.wire.emit(c.family, c.packet(whole[:size]))
    time.sleep(PAUSE)


@entry("IPv6 fragment that is no multiple of 8", SOURCE, families=("IPv6",))
def _(c, t):
    whole = c.segment(t.decoy)
    c.send_fragments([(0, True, whole[:37]), (40, False, whole[40:])])
    time.sleep(PAUSE)


@entry("IPv6 fragment beyond 65535", SOURCE, families=("IPv6",))
def _(c, t):
    whole = c.segment(t.decoy)
    c.send_fragments([(0, True, whole[:48]), (65528, False, whole[48:])])
    time.sleep(PAUSE)


@entry("IPv6 first fragment without the whole TCP header", SOURCE, kind="plain", families=("IPv6",))
def _(c, t):
    whole = c.segment(t.truth)
    c.send_fragments([(0, True, whole[:16]), (16, False, whole[16:])])
    c.commit(t.truth)


@entry("IPv6 fragment within a fragment", SOURCE, kind="plain", families=("IPv6",))
def _(c, t):
    inner = b"\6\0\0\0\0\0\0\x2a" + c.segment(t.truth)
    c.send_fragments(fragments(inner, 48), first=44)
    c.commit(t.truth)


@entry("IPv6 fragments, extension headers cut off the first", SOURCE, kind="plain", families=("IPv6",))
def _(c, t):
    inner = bytes((6, 2, 1, 20)) + bytes(20) + c.segment(t.truth)
    c.send_fragments(fragments(inner, 24), first=60)
    c.commit(t.truth)

SOURCE = "Evader"


@entry("PAWS elimination", SOURCE)
def _(c, t):
    for at, piece in cut(t.truth, 7):
        c.send(t.decoy[at:at + 7], at=at, ts_by=-3_000_000)
        c.send(piece, at=at)
    c.commit(t.truth)


def earlier_connection(c, last_words):
    """One that ends in order, on the ports that will be used again at once."""
    c.open()
    c.line(5)
    c.push(last_words)
    c.line(5)
    c.push(b"QUIT\r\n")
    c.line(5)
    c.finish()
    time.sleep(0.1)
    c.forget()


@entry("TIME-WAIT decoy: an earlier connection on the same ports", SOURCE, kind="plain", stage="opening")
def _(c, _t):
    earlier_connection(c, b"NOOP earlier\r\n")
    c.isn = (c.isn + 0x0010_0000) % (1 << 32)
    c.open()


@entry("TIME-WAIT decoy, and late data of the earlier connection", SOURCE, stage="opening")
def _(c, t):
    earlier_connection(c, b"NOOP earlier\r\n")
    late = c.isn + 1
    c.isn = (c.isn + 0x0010_0000) % (1 << 32)
    c.open()
    c.send(t.decoy, seq=late)
    time.sleep(PAUSE)


@entry("small segments, reordered, overlapping, urgent", SOURCE)
def _(c, t):
    rng = random.Random(5)
    pieces = cut(t.truth, 3)
    rng.shuffle(pieces)
    for at, piece in pieces:
        c.send(piece, at=at, flags=PSH | ACK | URG, urgent=1)
        c.send(t.decoy[at:at + 3], at=at, ts_by=-1_000_000)
    c.commit(t.truth)


@entry("small segments in small fragments, overlapping, old timestamps", SOURCE)
def _(c, t):
    for at, piece in reversed(cut(t.truth, 6)):
        c.send_fragments(fragments(c.segment(t.decoy[at:at + 6], at=at, ts_by=-1_000_000), 32))
        c.send_fragments(fragments(c.segment(piece, at=at), 32)[::-1])
    c.commit(t.truth)


# Linux does not look at an ACK that is too old when it has predicted the rest of the header, so some of the
# decoy counts.
@entry("small segments, an ACK far too old on each first copy", SOURCE, is_inert=True)
def _(c, t):
    for at, piece in cut(t.truth, 2):
        c.send(t.decoy[at:at + 2], at=at, **SPOILED["ACK far too old"])
        c.send(piece, at=at)
    c.commit(t.truth)

play("lib.erate, SniffJoke, Snort, Suricata, Zeek, Evader")
done()
