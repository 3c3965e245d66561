"""The strategies that Geneva found (Bock and others, CCS 2019, SIGCOMM 2020), client side; those of the server
side are in catalogue-server-side.py."""

import time

from catalogue import SPOILED, entry, play
from lab import done
from rawtcp import ACK, CWR, ECE, FIN, NS, PSH, RST, SYN, URG, random_text

SOURCE = "Geneva"
PAUSE = 0.03  # an inspector with several threads must have seen the decoy before the truth

# Two copies of the request, the first with a wrong data offset: header octets look like data, payload is cut.
for offset in (8, 9, 10):
    for name, fields in (("bad checksum", SPOILED["bad checksum"]), ("small TTL", SPOILED["small TTL"]),
                         ("wrong ACK", SPOILED["ACK of what was never sent"]),
                         ("junk window scale", {"more_options": b"\3\3\xf7"}), ("FIN without ACK", {"flags": FIN})):
        @entry(f"data offset {offset}, {name}", SOURCE, is_inert=name == "junk window scale", timestamps=False)
        def _(c, t, offset=offset, fields=fields):
            c.send(t.decoy, doff=offset, **fields)
            time.sleep(PAUSE)


@entry("data offset 7, the payload begins with NOPs", SOURCE, kind="plain", timestamps=False)
def _(c, t):
    c.send(b"\1" * 8 + t.truth, doff=7)
    c.commit(t.truth)


def random_line(t):
    """A random payload. It must be judged otherwise than the truth, or nobody could see which one counted."""
    head = b"NOOP " if t.decoy.startswith(b"NOOP") else b""
    return head + random_text(len(t.truth) - len(head) - 2) + b"\r\n"

# The first copy has a random payload.
for name in ("bad checksum", "small TTL", "ACK of what was never sent"):
    @entry(f"random payload, {name}", SOURCE)
    def _(c, t, fields=SPOILED[name]):
        c.send(random_line(t), **fields)
        time.sleep(PAUSE)

    @entry(f"random payload, {name}, segmented", SOURCE)
    def _(c, t, fields=SPOILED[name]):
        junk = random_line(t)
        c.send(junk[:20], **fields)
        c.send(junk[20:], at=20, **fields)
        time.sleep(PAUSE)
        c.send(t.truth[:20])
        c.send(t.truth[20:], at=20)
        c.commit(t.truth)


# SYN with payload. The server inside takes data on a SYN.
@entry("second SYN with payload", SOURCE, stage="opening")
def _(c, t):
    c.send(flags=SYN, seq=c.isn)
    c.send(t.decoy, flags=SYN, seq=c.isn)
    c.connect()


@entry("first SYN with payload", SOURCE, stage="opening")
def _(c, t):
    c.send(t.decoy, flags=SYN, seq=c.isn)
    c.connect()


@entry("SYN with payload after the handshake", SOURCE)
def _(c, t):
    c.send(t.decoy, flags=SYN, at=-1)
    time.sleep(PAUSE)


# The length in the IP header is shorter than the packet. The checksum is that of the whole, or fits.
for total in (64, 68, 78):
    for name, flags in (("", PSH | ACK), (", FIN", FIN | PSH | ACK)):
        @entry(f"IP length {total}{name}", SOURCE)
        def _(c, t, total=total, flags=flags):
            c.send(t.decoy, flags=flags, total=total - 20 * c.v6)
            time.sleep(PAUSE)


@entry("IP length 64, checksum of the shorter one", SOURCE)
def _(c, t):
    c.send(t.decoy, total=64 - 20 * c.v6, sum_len=44)
    time.sleep(PAUSE)


@entry("IP length without the trailer, which is a command", SOURCE, kind="plain")
def _(c, t):
    c.send(t.truth + t.decoy, total=-len(t.decoy), sum_len=32 + len(t.truth))
    c.commit(t.truth)

# Tear down beside the handshake.
for flag_name, flags in (("RST", RST), ("RST+ACK", RST | ACK)):
    for name in ("bad checksum", "small TTL", "MD5 option", "ACK of what was never sent"):
        @entry(f"{flag_name} after the handshake, {name}", SOURCE, kind="plain", stage="opening",
               is_inert=name == "ACK of what was never sent")
        def _(c, _t, flags=flags, fields=SPOILED[name]):
            c.open()
            c.send(flags=flags, **fields)
            time.sleep(PAUSE)

        @entry(f"{flag_name} before the handshake's last, {name}", SOURCE, kind="plain", stage="opening",
               is_inert=name == "ACK of what was never sent")
        def _(c, _t, flags=flags, fields=SPOILED[name]):
            c.connect()
            c.send(flags=flags, **fields)
            time.sleep(PAUSE)
            c.established()

# Flag soup.
for flag_name, flags in (("FRAPUEN", FIN | RST | ACK | PSH | URG | ECE | NS),
                         ("FREACN", FIN | RST | ECE | ACK | CWR | NS), ("FRAPUN", FIN | RST | ACK | PSH | URG | NS)):
    for name in ("bad checksum", "small TTL", "MD5 option"):
        @entry(f"{flag_name} after the handshake, {name}", SOURCE, kind="plain", stage="opening")
        def _(c, _t, flags=flags, fields=SPOILED[name]):
            c.open()
            c.send(flags=flags, **fields)
            time.sleep(PAUSE)


# Segmentation.
@entry("cut after 8 in order, ACK with junk number", SOURCE, kind="plain")
def _(c, t):
    c.send(t.truth[:8])
    c.send(t.truth[8:], at=8)
    c.send(flags=ACK, seq=0x12345678)
    c.commit(t.truth)


@entry("cut after 8, out of order, the second half cut at 4 again", SOURCE, kind="plain")
def _(c, t):
    c.send(t.truth[12:], at=12)
    c.send(t.truth[8:12], at=8)
    c.send(t.truth[:8])
    c.commit(t.truth)


@entry("cut in the middle, out of order", SOURCE, kind="plain")
def _(c, t):
    c.send(t.truth[22:], at=22)
    c.send(t.truth[:22])
    c.commit(t.truth)


@entry("cut after 4, then after 19", SOURCE, kind="plain")
def _(c, t):
    for begin, end in ((0, 4), (4, 23), (23, len(t.truth))):
        c.send(t.truth[begin:end], at=begin)
    c.commit(t.truth)


@entry("SYN/ACK before the SYN", SOURCE, kind="plain", stage="opening")
def _(c, _t):
    c.send(flags=SYN | ACK, seq=c.isn)
    time.sleep(PAUSE)
    c.connect()


# Junk options on every packet: on the first copies; repeats come without, or no receiver would take them.
@entry("user time-out option on every packet", SOURCE, kind="plain", stage="opening")
def _(c, t):
    junk = {"more_options": b"\x1c\x04\x80\x05"}
    c.connect(options=c.syn_options() + junk["more_options"])
    c.established(**junk)
    c.send(t.truth, **junk)
    c.commit(t.truth)


@entry("MD5 option on every first copy", SOURCE, stage="opening")
def _(c, t):
    c.send(flags=SYN, seq=c.isn, options=c.syn_options()[:4], md5=True)
    time.sleep(PAUSE)
    c.connect()
    c.send(flags=ACK, md5=True)
    c.send(t.decoy, md5=True)
    time.sleep(PAUSE)
    c.established()


# From the training against mock censors.
@entry("FIN instead of the handshake's ACK", SOURCE, kind="plain", stage="opening")
def _(c, _t):
    c.connect()
    c.send(flags=FIN, ack=0)
    time.sleep(PAUSE)
    c.established()


@entry("RST with junk number", SOURCE, kind="plain")
def _(c, _t):
    c.send(flags=RST, seq=0x12345678)
    time.sleep(PAUSE)

for name, by in (("same number", 0), ("other number", 0x2000_0000)):
    @entry(f"RST with bad checksum, then SYN with bad checksum, {name}", SOURCE, kind="plain")
    def _(c, _t, by=by):
        c.send(flags=RST, cksum=7)
        c.send(flags=SYN, at=by, cksum=7)
        time.sleep(PAUSE)

    @entry(f"RST, then SYN with bad checksum, {name}", SOURCE, kind="plain", is_inert=True)
    def _(c, _t, by=by):
        c.send(flags=RST)
        c.send(flags=SYN, at=by, cksum=7)
        time.sleep(PAUSE)


@entry("data offset 0 on the handshake's ACK", SOURCE, stage="opening")
def _(c, t):
    c.connect()
    c.send(t.decoy, doff=0)
    time.sleep(PAUSE)
    c.established()

play("Geneva")
done()
