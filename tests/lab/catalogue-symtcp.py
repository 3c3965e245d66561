"""What SymTCP found (Wang and others, NDSS 2020) and Themis (CCS 2021) adds."""

import time

from catalogue import SPOILED, entry, play
from lab import done
from rawtcp import ACK, FIN, PSH, RST, SYN, URG

PAUSE = 0.03
SOURCE = "SymTCP"


@entry("data at the number of the SYN", SOURCE, stage="opening")
def _(c, t):
    c.open()
    c.send(b"x" + t.decoy, seq=c.isn)
    time.sleep(PAUSE)


@entry("data before the number of the SYN", SOURCE)
def _(c, t):
    c.send(t.decoy, seq=c.isn - len(t.decoy))
    time.sleep(PAUSE)


@entry("data in the handshake's last", SOURCE, kind="plain", stage="opening")
def _(c, t):
    c.connect()
    c.is_open = True
    c.push(t.truth)


@entry("data in the handshake's last, ACK one too high", SOURCE, stage="opening")
def _(c, t):
    c.connect()
    c.send(t.decoy, ack_by=1)
    time.sleep(PAUSE)
    c.established()


@entry("data in the handshake's last, ACK one too low", SOURCE, stage="opening")
def _(c, t):
    c.connect()
    c.send(t.decoy, ack_by=-1)
    time.sleep(PAUSE)
    c.established()

for name, by in (("ACK of what was never sent", 0x1000_0000), ("ACK just beyond", 100_000)):
    @entry(f"data, {name}", SOURCE)
    def _(c, t, by=by):
        c.send(t.decoy, ack_by=by)
        time.sleep(PAUSE)

for at in (1, 1000, 30_000):
    @entry(f"RST {at} behind the exact number", SOURCE, kind="plain")
    def _(c, _t, at=at):
        c.send(flags=RST, at=at)
        time.sleep(PAUSE)

    @entry(f"RST+ACK with payload {at} behind the exact number", SOURCE)
    def _(c, t, at=at):
        c.send(t.decoy, flags=RST | ACK, at=at)
        time.sleep(PAUSE)


@entry("RST before the exact number", SOURCE, kind="plain")
def _(c, _t):
    c.send(flags=RST, at=-1)
    time.sleep(PAUSE)


@entry("RST at the exact number: true", SOURCE, kind="plain", is_inert=True)
def _(c, _t):
    c.send(flags=RST)
    time.sleep(PAUSE)


@entry("data without the ACK flag", SOURCE)
def _(c, t):
    c.send(t.decoy, flags=PSH)
    time.sleep(PAUSE)


@entry("very small segments", SOURCE, kind="plain")
def _(c, t):
    for at in range(len(t.truth)):
        c.send(t.truth[at:at + 1], at=at)
    c.commit(t.truth)

for flag_name, flags in (("RST", RST), ("RST+ACK", RST | ACK), ("FIN", FIN), ("FIN+ACK", FIN | ACK)):
    for spoil in ("bad checksum", "MD5 option"):
        @entry(f"{flag_name} with data, {spoil}", SOURCE)
        def _(c, t, flags=flags, fields=SPOILED[spoil]):
            c.send(t.decoy, flags=flags, **fields)
            time.sleep(PAUSE)


@entry("FIN with data, no ACK flag", SOURCE)
def _(c, t):
    c.send(t.decoy, flags=FIN | PSH)
    time.sleep(PAUSE)


@entry("pure FIN without ACK flag, then data", SOURCE, kind="plain")
def _(c, _t):
    c.send(flags=FIN)
    time.sleep(PAUSE)


@entry("pure FIN+ACK beyond a hole, then data", SOURCE, kind="plain")
def _(c, t):
    c.send(flags=FIN | ACK, at=len(t.truth) + 1000)
    time.sleep(PAUSE)


@entry("FIN+ACK that is true, then data behind it", SOURCE, kind="plain", is_inert=True)
def _(c, _t):
    c.send(flags=FIN | ACK)
    time.sleep(PAUSE)


@entry("FIN+ACK with the number of the end, ACK of what was never sent", SOURCE, kind="plain")
def _(c, _t):
    c.send(flags=FIN | ACK, ack_by=0x1000_0000)
    time.sleep(PAUSE)


@entry("data out of order, the truth first", SOURCE)
def _(c, t):
    c.send(t.truth[10:], at=10)
    c.send(t.decoy[5:], at=5)
    c.send(t.truth[:10])
    c.commit(t.truth)


@entry("data out of order, the decoy first", SOURCE)
def _(c, t):
    c.send(t.decoy[10:], at=10)
    c.send(t.truth[5:], at=5)
    c.send(t.truth[:10])
    c.commit(t.truth)


@entry("one octet beyond the window", SOURCE)
def _(c, t):
    c.send(t.decoy, at=4 << 20)
    time.sleep(PAUSE)

for where in (0, 1, 2, 4, 44):
    @entry(f"urgent pointer {where}", SOURCE, kind="plain", is_inert=True)  # takes an octet out of EXPN
    def _(c, t, where=where):
        c.send(t.truth, flags=PSH | ACK | URG, urgent=where)
        c.commit(t.truth)


@entry("urgent octet within the verb", SOURCE, kind="plain")
def _(c, t):
    # A receiver without SO_OOBINLINE takes the x out: EXPN. What the guard reads is refused as well.
    c.send(b"EXxPN" + t.truth[4:], flags=PSH | ACK | URG, urgent=3)
    c.commit(b"EXxPN" + t.truth[4:])


@entry("data without timestamps", SOURCE)
def _(c, t):
    c.send(t.decoy, no_ts=True)
    time.sleep(PAUSE)


@entry("SYN in the window", SOURCE, kind="plain")
def _(c, _t):
    c.send(flags=SYN, at=10)
    time.sleep(PAUSE)


@entry("SYN with other number in the handshake", SOURCE, kind="plain", stage="opening", is_inert=True)
def _(c, _t):
    c.connect()
    c.send(flags=SYN, seq=c.isn + 5000)
    time.sleep(PAUSE)
    c.established()


@entry("SYN+FIN, SYN+RST and all flags", SOURCE, kind="plain")
def _(c, _t):
    for flags in (SYN | FIN, SYN | RST, SYN | FIN | ACK, 0xFF):
        c.send(flags=flags, at=3)
    time.sleep(PAUSE)

# Linux versions differ in what they check first: the ACK flag, the MD5 option, the ACK number.
SOURCE = "Themis"
for name in ("MD5 option", "no ACK flag", "ACK far too old", "ACK of what was never sent"):
    for flag_name, flags in (("RST", RST), ("FIN+RST", FIN | RST), ("SYN", SYN)):
        @entry(f"{flag_name} in the window with data, {name}", SOURCE)
        def _(c, t, flags=flags, fields=SPOILED[name]):
            fields = {**fields, "flags": flags if "flags" in fields else flags | ACK}
            c.send(t.decoy, at=4, **fields)
            time.sleep(PAUSE)

    @entry(f"data, {name}", SOURCE)
    def _(c, t, fields=SPOILED[name]):
        c.send(t.decoy, **fields)
        time.sleep(PAUSE)

play("SymTCP and Themis")
done()
