"""The rules of fragroute (Song, 2002)."""

import random
import time

from catalogue import SPOILED, entry, play
from lab import done
from rawtcp import PSH, SYN, cut, fragments

SOURCE = "fragroute"
PAUSE = 0.03


def one_datagram(c, t, pieces, **ip):
    c.send_fragments(pieces, **ip)
    c.commit(t.truth)


for size in (8, 24, 40):
    @entry(f"ip_frag {size}", SOURCE, kind="plain")
    def _(c, t, size=size):
        one_datagram(c, t, fragments(c.segment(t.truth), size))

    # What is sent twice differs. old: the true one comes first; new: it comes second. The checksum fits both.
    @entry(f"ip_frag {size} old, same ranges", SOURCE)
    def _(c, t, size=size):
        true, false = (fragments(c.segment(text), size) for text in (t.truth, t.decoy))
        one_datagram(c, t, [piece for pair in zip(true, false) for piece in pair])

    @entry(f"ip_frag {size} new, same ranges", SOURCE)
    def _(c, t, size=size):
        true, false = (fragments(c.segment(text), size) for text in (t.truth, t.decoy))
        one_datagram(c, t, [piece for pair in zip(false, true) for piece in pair])

    @entry(f"ip_frag {size} old, partial overlap", SOURCE)
    def _(c, t, size=size):
        true, false = c.segment(t.truth), c.segment(t.decoy)
        pieces = [(at, at + size < len(true), true[at:at + size]) for at in range(0, len(true), size)]
        wider = [(at, True, false[at:at + size + 8]) for at in range(0, len(true) - size - 8, size)]
        one_datagram(c, t, [p for pair in zip(pieces, wider) for p in pair] + pieces[len(wider):])

    @entry(f"ip_frag {size} new, partial overlap", SOURCE)
    def _(c, t, size=size):
        true, false = c.segment(t.truth), c.segment(t.decoy)
        pieces = [(at, at + size < len(true), true[at:at + size]) for at in range(0, len(true), size)]
        wider = [(at, True, false[at:at + size + 8]) for at in range(0, len(true) - size - 8, size)]
        one_datagram(c, t, [p for pair in zip(wider, pieces) for p in pair] + pieces[len(wider):])

    @entry(f"ip_frag {size}; order reverse", SOURCE, kind="plain")
    def _(c, t, size=size):
        one_datagram(c, t, fragments(c.segment(t.truth), size)[::-1])

    @entry(f"ip_frag {size}; order random", SOURCE, kind="plain")
    def _(c, t, size=size):
        pieces = fragments(c.segment(t.truth), size)
        random.Random(size).shuffle(pieces)
        one_datagram(c, t, pieces)

    @entry(f"ip_frag {size}; dup last; drop first", SOURCE, kind="plain")
    def _(c, t, size=size):
        pieces = fragments(c.segment(t.truth), size)
        one_datagram(c, t, pieces[1:] + pieces[-1:])

    @entry(f"ip_frag {size}; ip_chaff dup", SOURCE)
    def _(c, t, size=size):
        false = fragments(c.segment(t.decoy), size)
        true = fragments(c.segment(t.truth), size)
        ident = c.send_fragments(true[:-1])
        c.send_fragments(false[:-1], ident=ident)
        c.send_fragments(true[-1:], ident=ident)
        c.commit(t.truth)

    @entry(f"ip_frag {size}; ip_chaff opt", SOURCE, families=("IPv4",))
    def _(c, t, size=size):
        false = fragments(c.segment(t.decoy), size)
        ident = c.send_fragments(false[:-1], ip_options=b"\x44\xff\5\0")
        c.send_fragments(fragments(c.segment(t.truth), size), ident=ident)
        c.commit(t.truth)

    # A fragment with a small TTL reaches the guard, whose kernel puts it together with the true ones.
    @entry(f"ip_frag {size}; ip_chaff ttl", SOURCE)
    def _(c, t, size=size):
        false = fragments(c.segment(t.decoy), size)
        ident = c.send_fragments(false[:-1], ttl="low")
        c.send_fragments(fragments(c.segment(t.truth), size), ident=ident)
        c.commit(t.truth)


@entry("ip_chaff dup", SOURCE)
def _(c, t):
    c.send(t.truth)
    c.send(t.decoy)
    c.commit(t.truth)


@entry("ip_chaff opt", SOURCE, families=("IPv4",))
def _(c, t):
    c.send(t.decoy, ip_options=b"\x44\xff\5\0")
    time.sleep(PAUSE)


@entry("ip_chaff ttl; ip_ttl", SOURCE)
def _(c, t):
    c.send(t.decoy, ttl="low")
    time.sleep(PAUSE)


@entry("ip_tos", SOURCE, kind="plain")
def _(c, t):
    for at, piece in cut(t.truth, 4):
        c.send(piece, at=at, tos=0x1F + at)
    c.commit(t.truth)

for name, option in (("lsrr", b"\x83\7\4\xc0\0\2\1"), ("ssrr", b"\x89\7\4\xc0\0\2\1"), ("raw", b"\x9e\4\1\2")):
    @entry(f"ip_opt {name}", SOURCE, kind="plain", families=("IPv4",))
    def _(c, t, option=option):
        c.send(t.truth, ip_options=option)
        c.commit(t.truth)

for size in (1, 4, 24):
    @entry(f"tcp_seg {size}", SOURCE, kind="plain")
    def _(c, t, size=size):
        for at, piece in cut(t.truth, size):
            c.send(piece, at=at)
        c.commit(t.truth)

    # Backwards, so that all but the first pair wait behind a hole.
    for age, turn in (("old", 1), ("new", -1)):
        @entry(f"tcp_seg {size} {age}", SOURCE, is_inert=size == 1)
        def _(c, t, size=size, turn=turn):
            for (at, true), (_, false) in reversed(list(zip(cut(t.truth, size), cut(t.decoy, size)))[1:]):
                for piece in (true, false)[::turn]:
                    c.send(piece, at=at)
            c.send(t.truth[:size])
            c.commit(t.truth)

        # The other one is one octet wider to both sides: a Linux receiver lets it replace the narrower.
        @entry(f"tcp_seg {size} {age}, wider", SOURCE, is_inert=True)
        def _(c, t, size=size, turn=turn):
            for at, true in reversed(cut(t.truth, size)[1:]):
                false = t.decoy[at - 1:at + size + 1]
                for piece, place in ((true, at), (false, at - 1))[::turn]:
                    c.send(piece, at=place)
            c.send(t.truth[:size])
            c.commit(t.truth)

    @entry(f"tcp_seg {size}; order reverse", SOURCE, kind="plain")
    def _(c, t, size=size):
        for at, piece in reversed(cut(t.truth, size)):
            c.send(piece, at=at)
        c.commit(t.truth)

    @entry(f"tcp_seg {size}; order random; dup random; drop random", SOURCE, kind="plain")
    def _(c, t, size=size):
        pieces = cut(t.truth, size)
        rng = random.Random(size)
        pieces.append(rng.choice(pieces))
        rng.shuffle(pieces)
        for at, piece in pieces[1:]:
            c.send(piece, at=at)
        c.commit(t.truth)

    @entry(f"tcp_seg {size}; delay first", SOURCE, kind="plain")
    def _(c, t, size=size):
        pieces = cut(t.truth, size)
        for at, piece in pieces[1:]:
            c.send(piece, at=at)
        time.sleep(0.1)
        c.send(pieces[0][1])
        c.commit(t.truth)

    # Chaff before each true segment.
    for name, fields in (("cksum", {"cksum": 0x0101}), ("null", {"flags": 0}), ("paws", SPOILED["old timestamp"]),
                         ("seq", {"seq": 0x1357_9BDF}), ("syn", {"flags": SYN | PSH}), ("ttl", {"ttl": "low"})):
        @entry(f"tcp_seg {size}; tcp_chaff {name}", SOURCE)
        def _(c, t, size=size, fields=fields):
            for at, piece in cut(t.truth, size):
                c.send(t.decoy[at:at + size], at=at, **fields)
                c.send(piece, at=at)
            c.commit(t.truth)

    @entry(f"tcp_seg {size}; tcp_chaff rexmit", SOURCE)
    def _(c, t, size=size):
        for at, piece in cut(t.truth, size):
            c.send(piece, at=at)
            c.send(t.decoy[at:at + size], at=at)
        c.commit(t.truth)

for name, option in (("mss 16", b"\2\4\0\x10"), ("wscale 14", b"\3\3\x0e\1")):
    @entry(f"tcp_opt {name}", SOURCE, kind="plain", stage="opening")
    def _(c, t, option=option):
        c.connect(options=option)
        c.established(more_options=option)
        for at, piece in cut(t.truth, 8):
            c.send(piece, at=at, more_options=option)
        c.commit(t.truth)

play("fragroute")
done()
