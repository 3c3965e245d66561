"""Mail in VLANs over a bridge: tags and priorities pass as they came, one or two of them, what is inspected is so behind
them, and frames that are no mail pass untouched. The kernel need not know VLANs: each end has a TUN device of its own,
whose packets a thread puts behind a tag."""

import contextlib
import fcntl
import os
import socket
import struct
import threading

import lab
from lab import Client, Server, a_message, at_end, check, check_that, done, on, send_mail, sha256, wait_for

# This lab is one beside the others, whose guard bridges.
lab.PREFIX = f"{lab.PREFIX}-v"
os.environ.update(MAILGUARD_LAB=lab.PREFIX, MAILGUARD_LAB_DEVICE="bridge")
lab.IS_BRIDGE = True
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
ETH_P_ALL, SOL_PACKET, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING = 3, 263, 8, 23
# By the number of the network: tags as they stand in the frame. 0xa005 is VLAN 5 with priority 5.
TAGS = {5: "8100a005", 7: "88a8000781002009"}
NAMES = {5: "one tag with a priority", 7: "two tags"}


def mac(side):
    said = lab.run(side, "ip", "-br", "link", "show", "eth0").stdout
    return bytes.fromhex(said.split()[2].replace(":", ""))


class Tagged:
    """One host's end of the tagged networks."""

    def __init__(self, side, number, other):
        self.own, self.other = mac(side), mac(other)
        self.tuns, self.strays = {}, []
        with on(side):
            self.wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            self.wire.bind(("eth0", ETH_P_ALL))
            self.wire.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            self.wire.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            for net in TAGS:
                self.tuns[net] = os.open("/dev/net/tun", os.O_RDWR)
                name = f"tagged{net}"
                fcntl.ioctl(self.tuns[net], TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
        for net in TAGS:
            for words in (("addr", "add", f"10.{net}.0.{number}/24", "dev", f"tagged{net}"),
                          ("link", "set", f"tagged{net}", "mtu", "1400", "up")):
                lab.run(side, "ip", *words, check=True)
            threading.Thread(target=self._until_the_end, args=(self._send, net), daemon=True).start()
        threading.Thread(target=self._until_the_end, args=(self._receive,), daemon=True).start()

    @staticmethod
    def _until_the_end(work, *args):
        with contextlib.suppress(OSError):
            work(*args)

    def _send(self, net):
        while True:
            packet = os.read(self.tuns[net], 2000)
            if packet[0] >> 4 == 4:
                self.wire.send(self.other + self.own + bytes.fromhex(TAGS[net]) + b"\x08\x00" + packet)

    def _receive(self):
        while True:
            frame, more, _, _ = self.wire.recvmsg(70000, 64)
            tag = b""
            for level, kind, data in more:
                if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                    status, _, _, _, _, control, protocol = struct.unpack("IIIHHHH", data[:20])
                    if status & 0x10:
                        tag = struct.pack("!HH", protocol if status & 0x40 else 0x8100, control)
            frame = frame[:12] + tag + frame[12:]
            for net, tags in TAGS.items():
                head = bytes.fromhex(tags) + b"\x08\x00"
                if frame[12:].startswith(head):
                    os.write(self.tuns[net], frame[12 + len(head):])
                    break
            else:
                if frame[12:14] == b"\x88\xb5" or tag:
                    self.strays.append(frame)


lab.lab("down")
lab.lab("up")
# The TUN devices here know of no unfinished sum.
lab.lab("offloads", "off")
at_end(lambda: lab.lab("down"))
lab.guard()
outside, inside = Tagged("outside", 1, "inside"), Tagged("inside", 2, "outside")
message = a_message(1_000_000)
with Server(families=("IPv4",)) as server:
    for net in TAGS:
        server.forget()
        with Client(f"10.{net}.0.2", timeout=30) as client:
            greeting = client.reply()
            check_that(f"{NAMES[net]}: the greeting is masked", greeting.startswith(b"220 *"), repr(greeting))
            check(f"{NAMES[net]}: a refusal", client.say("EXPN staff"), lab.REFUSED)
            client.say("HELO client")
            check(f"{NAMES[net]}: mail", send_mail(client, message), b"250 message accepted\r\n")
        check(f"{NAMES[net]}: SHA-256", server.digests, [sha256(message)])

# An experimental EtherType (IEEE 802), with and without tags, one more than are understood, and one that is SMTP behind it.
for tags in ("", TAGS[5], TAGS[7], "88a80001810000028100000388b5"):
    frame = inside.own + outside.own + bytes.fromhex(tags) + b"\x88\xb5" + os.urandom(300)
    outside.wire.send(frame)
    try:
        wait_for("the frame", lambda f=frame: f in inside.strays, 5)
        came = True
    except TimeoutError:
        came = False
    check_that(f"a frame of another kind behind {tags or 'no tag'} passes as it came", came)
done()
