"""Insertion and evasion as Ptacek and Newsham listed them in 1998: every field that a receiver checks, and the
tests of fragrouter, which carry their names."""

import struct
import time

from catalogue import SPOILED, entry, play
from lab import at_end, done, lab
from rawtcp import ACK, FIN, PSH, RST, SYN, cut, fragments

SOURCE = "Ptacek/Newsham"
PAUSE = 0.03
V4, V6 = ("IPv4",), ("IPv6",)

# Insertion: a field of TCP that the receiver checks.
for name in ("bad checksum", "small TTL", "no ACK flag", "no flags", "old timestamp"):
    @entry(name, SOURCE)
    def _(c, t, fields=SPOILED[name]):
        c.send(t.decoy, **fields)
        time.sleep(PAUSE)

for offset in (0, 4, 15):
    # 15: 60 octets of header in a packet that has 52 of it at most.
    @entry(f"data offset {offset}", SOURCE)
    def _(c, t, offset=offset):
        c.send(t.decoy[:20], doff=offset)
        time.sleep(PAUSE)


@entry("data on the SYN", SOURCE, stage="opening")
def _(c, t):
    c.send(t.decoy, flags=SYN, seq=c.isn)
    c.connect()


@entry("data beyond the window", SOURCE)
def _(c, t):
    c.send(t.decoy, at=1 << 24)
    time.sleep(PAUSE)


@entry("malformed option list: length 0", SOURCE)
def _(c, t):
    c.send(t.decoy, more_options=b"\x1e\0\0\0")
    time.sleep(PAUSE)


@entry("malformed option list: past the end", SOURCE)
def _(c, t):
    c.send(t.decoy, more_options=b"\1\1\x1e\x28")
    time.sleep(PAUSE)


@entry("reserved bits", SOURCE)
def _(c, t):
    c.send(t.decoy, reserved=7)
    time.sleep(PAUSE)

# Insertion: a field of IP.
for name, fields in (
        ("IP header checksum", {"ip_sum": 0x0101}),
        ("IP header length 4", {"ihl": 4}),
        ("IP header length 15", {"ihl": 15}),
        ("IP total length beyond the frame", {"total": 1000}),
        ("IP total length of the header", {"total": 20}),
        ("IP version 6 in an IPv4 frame", {"version": 6}),
        ("IP protocol of UDP", {"protocol": 17}),
        ("reserved IP flag", {"flags_offset": 0xC000}),
        ("IP option: NOPs", {"ip_options": b"\1\1\1\1"}),
        ("IP option: router alert", {"ip_options": b"\x94\4\0\0"}),
        ("IP option: record route", {"ip_options": b"\7\7\4\0\0\0\0"}),
        ("IP option: loose source route", {"ip_options": b"\x83\7\4\xc0\0\2\1"}),
        ("IP option: strict source route", {"ip_options": b"\x89\7\4\xc0\0\2\1"}),
        ("IP option: malformed", {"ip_options": b"\x44\xff\5\0"})):
    @entry(name, SOURCE, families=V4)
    def _(c, t, fields=fields):
        c.send(t.decoy, **fields)
        time.sleep(PAUSE)


def destination_options(count, last=6):
    """So many of them, each with padding only, and their first number."""
    return b"".join(bytes((60 if i < count - 1 else last, 0, 1, 4, 0, 0, 0, 0)) for i in range(count))

for name, fields in (
        ("hop-by-hop options", {"extensions": b"\6\0\1\4\0\0\0\0", "first": 0}),
        ("hop-by-hop options that mean: discard", {"extensions": b"\6\0\x5e\4\0\0\0\0", "first": 0}),
        ("destination options", {"extensions": destination_options(1), "first": 60}),
        ("destination options that mean: discard", {"extensions": b"\6\0\x5e\4\0\0\0\0", "first": 60}),
        ("fourteen destination options headers", {"extensions": destination_options(14), "first": 60}),
        ("forty destination options headers", {"extensions": destination_options(40), "first": 60}),
        ("routing header of type 0", {"extensions": bytes((6, 2, 0, 1)) + bytes(20), "first": 43}),
        ("routing header with nothing left", {"extensions": bytes((6, 0, 4, 0)) + bytes(4), "first": 43}),
        ("authentication header", {"extensions": bytes((6, 4)) + bytes(22), "first": 51}),
        ("atomic fragment", {"extensions": b"\6\0\0\0\0\0\0\7", "first": 44}),
        ("hop-by-hop options behind destination options",
         {"extensions": b"\0\0\1\4\0\0\0\0" + b"\6\0\1\4\0\0\0\0", "first": 60}),
        ("payload length 0", {"total": 0}),
        ("payload length beyond the frame", {"total": 1000}),
        ("IP version 4 in an IPv6 frame", {"version": 4}),
        ("next header of UDP", {"protocol": 17})):
    @entry(name, SOURCE, families=V6)
    def _(c, t, fields=fields):
        c.send(t.decoy, **fields)
        time.sleep(PAUSE)


@entry("MAC of another host", SOURCE)
def _(c, t):
    c.send(t.decoy, mac=b"\2\0\0\0\0\x63")
    time.sleep(PAUSE)



@entry("DF and too long for the wire behind the guard", SOURCE, mss=600)
def _(c, t):
    long = [text[:-2] + b"l" * 1300 + b"\r\n" for text in (t.truth, t.decoy)]
    c.send(long[1])
    time.sleep(PAUSE)
    for at, piece in cut(long[0], 500):
        c.send(piece, at=at)
    c.commit(long[0])

# The tests of the paper, as fragrouter names them. 1-octet segments unless they say otherwise.
SOURCE = "fragrouter"


def whole(c, t, size, order=lambda pieces: pieces, text=None, **ip):
    """The true line in one datagram, in fragments."""
    c.send_fragments(order(fragments(c.segment(text or t.truth), size)), **ip)
    c.commit(t.truth)


def twice(pieces, which):
    return pieces[:which] + pieces[which - 1:]


@entry("frag-1: ordered 8-octet fragments", SOURCE, kind="plain")
def _(c, t):
    whole(c, t, 8)


@entry("frag-2: ordered 24-octet fragments", SOURCE, kind="plain")
def _(c, t):
    whole(c, t, 24)


@entry("frag-3: 8-octet fragments, one out of order", SOURCE, kind="plain")
def _(c, t):
    whole(c, t, 8, lambda p: p[:5] + [p[6], p[5]] + p[7:])


@entry("frag-4: 8-octet fragments, one twice", SOURCE, kind="plain")
def _(c, t):
    whole(c, t, 8, lambda p: twice(p, 6))


@entry("frag-5: 8-octet fragments, out of order, one twice", SOURCE, kind="plain")
def _(c, t):
    whole(c, t, 8, lambda p: twice(p[::-1], 4))


@entry("frag-6: 8-octet fragments, the last one first", SOURCE, kind="plain")
def _(c, t):
    whole(c, t, 8, lambda p: p[-1:] + p[:-1])


@entry("frag-7: 16-octet fragments, overwriting forwards", SOURCE)
def _(c, t):
    false = fragments(c.segment(t.decoy), 16)
    # Each false one reaches over the true one behind it.
    whole(c, t, 16, lambda p: p[:2] + [q for i in range(2, len(p)) for q in (
        (false[i][0], True, false[i][2] + (false[i + 1][2][:8] if i + 1 < len(p) else b"")), p[i])])


def dribble(c, t, size=1, before=None, order=lambda pieces: pieces, after_each=None):
    """The true line in small segments, and what is sent between them."""
    for i, (at, piece) in enumerate(order(cut(t.truth, size))):
        if before:
            before(at, size)
        c.send(piece, at=at)
        if after_each:
            after_each(at, size)
    c.commit(t.truth)


@entry("tcp-1: FIN and RST with bad checksum", SOURCE, kind="plain")
def _(c, t):
    c.send(flags=FIN | ACK, cksum=1)
    c.send(flags=RST, cksum=1)
    dribble(c, t)


@entry("tcp-2: 1-octet segments, numbers wrap", SOURCE, kind="plain", isn=-20)
def _(c, t):
    dribble(c, t)


@entry("tcp-3: one twice", SOURCE, kind="plain")
def _(c, t):
    dribble(c, t, order=lambda p: twice(p, 9))


@entry("tcp-4: one overwritten", SOURCE)
def _(c, t):
    dribble(c, t, after_each=lambda at, size: at == 2 and c.send(t.decoy[at:at + size], at=at))


@entry("tcp-5: 2-octet segments, overwriting forwards", SOURCE, is_inert=True)
def _(c, t):
    # Each reaches one octet over the next, with the octet of the decoy.
    for at, piece in cut(t.truth, 2):
        c.send(piece + t.decoy[at + 2:at + 3], at=at)
    c.commit(t.truth)


@entry("tcp-6: 2-octet segments, out of order, overwriting backwards", SOURCE)
def _(c, t):
    for at, piece in reversed(cut(t.truth, 2)):
        c.send(t.decoy[max(0, at - 1):at] + piece, at=max(0, at - 1))
    c.commit(t.truth)


@entry("tcp-7: null segments between", SOURCE)
def _(c, t):
    dribble(c, t, before=lambda at, size: c.send(t.decoy[at:at + size], at=at, flags=0))


@entry("tcp-8: one out of order", SOURCE, kind="plain")
def _(c, t):
    dribble(c, t, order=lambda p: p[:6] + [p[7], p[6]] + p[8:])


@entry("tcp-9: all out of order", SOURCE, kind="plain")
def _(c, t):
    dribble(c, t, order=lambda p: p[::-1])


@entry("tcbc-1: data without a handshake, then a session", SOURCE, kind="plain", stage="opening")
def _(c, t):
    for at, piece in cut(t.truth, 1):
        c.send(piece, at=at)
    c.open()


@entry("tcbc-2: SYNs between", SOURCE, kind="plain")
def _(c, t):
    dribble(c, t, before=lambda at, size: c.send(flags=SYN, at=at + 1000))


@entry("tcbc-2: SYNs with other numbers between", SOURCE, kind="plain")
def _(c, t):
    dribble(c, t, before=lambda at, size: c.send(flags=SYN, seq=at * 0x0101_0101))


@entry("tcbc-3: null segments, then the handshake", SOURCE, kind="plain", stage="opening")
def _(c, t):
    for at, piece in cut(t.decoy, 1):
        c.send(piece, at=at, flags=0)
    c.open()
    c.line(5)
    dribble(c, t)


@entry("tcbt-1: RST, then a handshake with the same ports", SOURCE, kind="plain", stage="opening")
def _(c, t):
    c.open()
    c.line(5)
    c.send(flags=RST)
    time.sleep(PAUSE)
    c.forget()
    c.isn += 0x0010_0000
    c.open()
    c.line(5)
    dribble(c, t)


@entry("tcbt-2: RST with bad checksum, then a handshake with the same ports", SOURCE, kind="plain")
def _(c, t):
    c.send(flags=RST, cksum=1)
    c.send(flags=SYN, at=0x0010_0000)
    time.sleep(PAUSE)
    dribble(c, t)


@entry("ins-1: bad IP checksums", SOURCE, families=V4)
def _(c, t):
    dribble(c, t, before=lambda at, size: c.send(t.decoy[at:at + size], at=at, ip_sum=1))


@entry("ins-2: bad TCP checksums", SOURCE)
def _(c, t):
    dribble(c, t, before=lambda at, size: c.send(t.decoy[at:at + size], at=at, cksum=1))


@entry("ins-3: no ACK flag", SOURCE)
def _(c, t):
    dribble(c, t, before=lambda at, size: c.send(t.decoy[at:at + size], at=at, flags=PSH))


@entry("misc-1: a fragment chain without a first one (Lopatic, Windows NT 4 SP2)", SOURCE)
def _(c, t):
    pieces = fragments(c.segment(t.decoy), 8)
    c.send_fragments([(at + 8, more, octets) for at, more, octets in pieces])
    time.sleep(PAUSE)


@entry("misc-2: the port overwritten by a second first fragment (McDonald, ipchains)", SOURCE)
def _(c, t):
    pieces = fragments(c.segment(t.decoy), 48)
    other = struct.pack("!HH", c.ours, 2525) + pieces[0][2][4:]
    c.send_fragments([(0, True, other), *pieces])
    c.send_fragments([(0, True, other), (0, True, pieces[0][2][:8]), *pieces[1:]])
    time.sleep(PAUSE)

lab("mtu", "inside", "1300")
at_end(lambda: lab("mtu", "inside", "1500"))
play("Ptacek and Newsham, fragrouter")
done()
