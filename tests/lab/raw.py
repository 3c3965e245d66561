"""A TCP client made by hand, which sends what no kernel would send."""

import socket
import struct
import time

from lab import INSIDE, OUTSIDE, at_end, on, run

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
        self.ident = int(time.time() * 1000) & 0xFFFF
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
        if cut:
            self.fragments((0, segment[:cut], True), (cut, segment[cut:], False))
        else:
            self.fragments((0, segment, False))

    def fragments(self, *parts):
        """Sends the parts of one datagram: each is where it starts, its octets, and whether more follow."""
        self.ident = (self.ident + 1) & 0xFFFF
        for at, part, more in parts:
            is_part = more or at
            if self.v6:
                extra = struct.pack("!BBHI", 6, 0, at | more, self.ident) if is_part else b""
                packet = struct.pack("!IHBB", 6 << 28, len(extra) + len(part), 44 if is_part else 6, 64)
                packet += self.source + self.target + extra + part
                self.out.sendto(packet, (self.address, 0))
            else:
                packet = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(part), self.ident,
                                     (0x2000 if more else 0) | at // 8, 64, 6, 0)
                self.out.sendto(packet + self.source + self.target + part, (self.address, 0))

    def pieces(self, segment, size):
        """The segment in parts of so many octets, a multiple of 8."""
        return [(at, segment[at:at + size], at + size < len(segment)) for at in range(0, len(segment), size)]

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
        "{ type filter hook output priority 0; }; add rule inet hand-made out ip frag-off & 0x1fff != 0 accept; "
        "add rule inet hand-made out exthdr frag exists accept; "
        "add rule inet hand-made out tcp flags & rst == rst drop",
        check=True)
    at_end(lambda: run("outside", "nft", "delete table inet hand-made"))
