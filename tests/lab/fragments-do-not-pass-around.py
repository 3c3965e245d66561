"""A forbidden command in IP fragments: only the first has ports, yet it must not get past the guard."""

import socket
import struct
import time

from lab import (FAMILIES, INSIDE, OUTSIDE, Server, at_end, check, check_that, commands, done, guard, lab,
                 on, run, wait_for)

PORT = 40025  # of the hand-made client; the kernel outside must not reset what it did not open


def checksum(octets):
    """The Internet checksum."""
    if len(octets) % 2:
        octets += b"\0"
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class HandMade:
    """As much of a TCP client as it takes to send a command in fragments."""

    def __init__(self, family, dport):
        self.v6 = family == "IPv6"
        self.source = socket.inet_pton(socket.AF_INET6 if self.v6 else socket.AF_INET, OUTSIDE[family])
        self.target = socket.inet_pton(socket.AF_INET6 if self.v6 else socket.AF_INET, INSIDE[family])
        self.address = INSIDE[family]
        self.sport = PORT + int(time.time() * 10) % 10000
        self.dport = dport
        self.seq = 1000
        self.ack = 0
        kind = socket.AF_INET6 if self.v6 else socket.AF_INET
        with on("outside"):
            self.out = socket.socket(kind, socket.SOCK_RAW, socket.IPPROTO_RAW)
            self.back = socket.socket(kind, socket.SOCK_RAW, socket.IPPROTO_TCP)
        self.back.settimeout(3)

    def segment(self, flags, payload=b""):
        """A TCP segment with its checksum. A SYN is padded with options, because an IPv6 first fragment
        must hold the whole fixed TCP header and there must be something left for a second one."""
        options = b"\1" * 12 if flags & 2 else b""
        head = struct.pack("!HHIIBBHHH", self.sport, self.dport, self.seq, self.ack,
                           (5 + len(options) // 4) << 4, flags, 65000, 0, 0) + options
        length = len(head) + len(payload)
        pseudo = self.source + self.target + (
            struct.pack("!IHBB", length, 0, 0, 6) if self.v6 else struct.pack("!BBH", 0, 6, length))
        total = checksum(pseudo + head + payload)
        return head[:16] + struct.pack("!H", total) + head[18:] + payload

    def send(self, flags, payload=b"", cut=0):
        """Sends a segment, as two fragments if cut (a multiple of 8) says where."""
        segment = self.segment(flags, payload)
        parts = [(0, False, segment)] if not cut else [(0, True, segment[:cut]), (cut, False, segment[cut:])]
        ident = int(time.time() * 1000) & 0xFFFF
        for at, more, part in parts:
            if self.v6:
                extra = struct.pack("!BBHI", 6, 0, at | more, ident) if cut else b""
                packet = struct.pack("!IHBB", 6 << 28, len(extra) + len(part), 44 if cut else 6, 64)
                packet += self.source + self.target + extra + part
                self.out.sendto(packet, (self.address, 0))
            else:
                packet = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(part), ident, (0x2000 if more else 0) | at // 8,
                                     64, 6, 0) + self.source + self.target + part
                self.out.sendto(packet, (self.address, 0))

    def hear(self):
        """The next segment for us: flags and payload; None when nothing comes."""
        while True:
            try:
                packet = self.back.recv(65535)
            except TimeoutError:
                return None
            if not self.v6:
                packet = packet[(packet[0] & 15) * 4:]
            sport, dport, seq, _, offset, flags = struct.unpack("!HHIIBB", packet[:14])
            if (sport, dport) == (self.dport, self.sport):
                payload = packet[(offset >> 4) * 4:]
                if seq == self.ack or flags & 2:
                    self.ack = (seq + len(payload) + (1 if flags & 3 else 0)) & 0xFFFFFFFF
                return flags, payload

    def open(self, cut=0):
        """The handshake; cut: the SYN comes in fragments. Says whether it was answered."""
        self.send(2, cut=cut)
        heard = self.hear()
        if heard is None or heard[0] & 0x12 != 0x12:
            return False
        self.seq += 1
        self.send(16)
        return True


def no_resets():
    """The kernel outside knows nothing of the hand-made connections."""
    run("outside", "nft", "add table inet hand-made; add chain inet hand-made out "
        "{ type filter hook output priority 0; }; add rule inet hand-made out tcp flags & rst == rst drop",
        check=True)
    at_end(lambda: run("outside", "nft", "delete table inet hand-made"))


no_resets()
guard()
lab("guard", "kill")
with Server(), Server(port=2525):
    for family in FAMILIES:
        check(f"{family}: no guard: a SYN in fragments to another port is answered",
              HandMade(family, 2525).open(cut=24), True)
        check(f"{family}: no guard: a SYN in fragments to port 25 is answered",
              HandMade(family, 25).open(cut=24), False)
guard()
with Server() as server:
    for family in FAMILIES:
        client = HandMade(family, 25)
        check(f"{family}: the hand-made client is connected", client.open(), True)
        greeting = b""
        while not greeting.endswith(b"\r\n"):
            heard = client.hear()
            if heard is None:
                break
            greeting += heard[1]
        client.send(16)
        check_that(f"{family}: it reads a masked greeting", greeting.startswith(b"220 *"), repr(greeting))
        client.send(24, b"HELO client\r\n")
        heard = client.hear()
        while heard is not None and not heard[1]:
            heard = client.hear()
        check(f"{family}: HELO is answered", heard and heard[1], b"250 mail.example.com Hello\r\n")
        client.seq += 13
        client.send(24, b"EXPN staff\r\n", cut=24)
        heard = client.hear()
        print(f"    what became of the fragments: {heard}", flush=True)
        time.sleep(0.5)
        seen = commands(server.transcript)
        check_that(f"{family}: EXPN in fragments did not reach the server",
                   not any("EXPN" in line.upper() or "STAFF" in line.upper() for line in seen), str(seen))
        server.forget()
done()
