"""The strategies of INTANG (Wang and others, "Your State is Not Mine", IMC 2017)."""

import time

from catalogue import SPOILED, entry, play
from lab import done
from rawtcp import ACK, FIN, RST, SYN, fragments

SOURCE = "INTANG"
PAUSE = 0.03

# Data overlapping, prefilled with something that the receiver refuses.
for spoil in ("MD5 option", "old timestamp", "ACK of what was never sent", "bad checksum", "small TTL", "no flags"):
    @entry(f"prefilled data, {spoil}", SOURCE)
    def _(c, t, fields=SPOILED[spoil]):
        c.send(t.decoy, **fields)

    @entry(f"prefilled data out of order, {spoil}", SOURCE)
    def _(c, t, fields=SPOILED[spoil]):
        c.send(t.decoy[20:], at=20, **fields)
        c.send(t.decoy[:20], **fields)


@entry("out of order overlapping segments", SOURCE)
def _(c, t):
    c.send(t.truth[20:], at=20)
    c.send(t.decoy[20:], at=20)
    c.send(t.truth[:20])
    c.commit(t.truth)


# Tear down.
for name, flags in (("RST", RST), ("RST+ACK", RST | ACK), ("FIN", FIN), ("FIN+ACK", FIN | ACK)):
    for spoil in ("small TTL", "bad checksum", "MD5 option"):
        @entry(f"{name}, {spoil}", SOURCE, kind="plain")
        def _(c, t, flags=flags, fields=SPOILED[spoil]):
            c.send(flags=flags, **fields)
            time.sleep(PAUSE)

    @entry(f"{name}, wrong number", SOURCE, kind="plain")
    def _(c, t, flags=flags):
        c.send(flags=flags, at=0x1000_0000)
        time.sleep(PAUSE)


@entry("out of order IP fragments", SOURCE, kind="plain")
def _(c, t):
    c.send_fragments(fragments(c.segment(t.truth), 24)[::-1])
    c.commit(t.truth)

# Sides of the handshake.
for spoil in ("small TTL", "bad checksum"):
    @entry(f"fake SYN before the handshake, {spoil}", SOURCE, kind="plain", stage="opening")
    def _(c, _t, fields=SPOILED[spoil]):
        c.send(flags=SYN, seq=c.isn + 0x0100_0000, **fields)
        time.sleep(PAUSE)
        c.connect()

    @entry(f"fake SYN after the handshake, {spoil}", SOURCE, kind="plain", stage="opening")
    def _(c, _t, fields=SPOILED[spoil]):
        c.open()
        c.send(flags=SYN, seq=c.isn + 0x0100_0000, **fields)
        time.sleep(PAUSE)

    @entry(f"TCB reversal: SYN/ACK first, {spoil}", SOURCE, kind="plain", stage="opening")
    def _(c, _t, fields=SPOILED[spoil]):
        c.send(flags=SYN | ACK, seq=c.isn - 1, ack=77, **fields)
        time.sleep(PAUSE)
        c.connect()


@entry("TCB reversal: SYN/ACK first", SOURCE, kind="plain", stage="opening")
def _(c, _t):
    c.send(flags=SYN | ACK, seq=c.isn - 1, ack=77)
    time.sleep(PAUSE)
    c.connect()


@entry("multiple SYN, then data far outside the window", SOURCE)
def _(c, t):
    c.send(flags=SYN, seq=c.isn + 0x2000_0000)
    c.send(t.decoy, seq=c.isn + 0x2000_0001)
    time.sleep(PAUSE)

for spoil in ("small TTL", "bad checksum", "MD5 option"):
    @entry(f"RST, {spoil}, then one octet at a junk number (resync and desync)", SOURCE, kind="plain")
    def _(c, _t, fields=SPOILED[spoil]):
        c.send(flags=RST, **fields)
        c.send(b"x", at=0x2000_0000)
        time.sleep(PAUSE)

    @entry(f"RST, {spoil}, fake SYN, then data at its number", SOURCE)
    def _(c, t, fields=SPOILED[spoil]):
        c.send(flags=RST, **fields)
        c.send(flags=SYN, seq=c.isn + 0x2000_0000, **fields)
        c.send(t.decoy, seq=c.isn + 0x2000_0001)
        time.sleep(PAUSE)

# Mixes of two.
for one, two in (("small TTL", "MD5 option"), ("old timestamp", "bad checksum"), ("bad checksum", "small TTL")):
    # An old timestamp does not make a receiver refuse a RST (RFC 7323 section 5.2).
    @entry(f"RST, {one}, and prefilled data, {two}", SOURCE, is_inert=one == "old timestamp")
    def _(c, t, one=SPOILED[one], two=SPOILED[two]):
        c.send(**{"flags": RST, **one})
        c.send(t.decoy, **two)
        time.sleep(PAUSE)

play("INTANG")
done()
