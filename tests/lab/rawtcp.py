"""A small TCP in user space, over a packet socket outside: it keeps the rules where it is not told to
break one, and any field of any packet can be told.

It has an address of its own, which the kernel outside does not own and so never answers for.
"""

import contextlib
import itertools
import json
import os
import random
import socket
import struct
import subprocess
import threading
import time

from lab import IS_BRIDGE, INSIDE, PREFIX, at_end, on

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
NS = 0x100  # the last of the reserved bits (RFC 3540)

RAW = {"IPv4": "192.0.2.77", "IPv6": "2001:db8:1::77"}
WRAP = 1 << 32

MD5 = b"\1\1\x13\x12" + bytes(range(16))  # RFC 2385, and nobody agreed on a key


def packed(address):
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def checksum(octets):
    """The Internet checksum (RFC 1071)."""
    if len(octets) % 2:
        octets += b"\0"
    return -int.from_bytes(octets, "big") % 0xFFFF


def after(a, b):
    """How far a lies behind b in the sequence space; negative if before."""
    return ((a - b + WRAP // 2) % WRAP) - WRAP // 2


def _ip(*words):
    subprocess.run(["ip", *words], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def _mac(side, device):
    said = subprocess.run(["ip", "-j", "-n", f"{PREFIX}-{side}", "link", "show", device], check=True,
                          stdout=subprocess.PIPE)
    return bytes.fromhex(json.loads(said.stdout)[0]["address"].replace(":", ""))


class Wire:
    """The end of the outside wire, as a packet socket sees it."""

    def __init__(self):
        # Who is on the other end of the link: the guard's namespace routes, or there is only a bridge.
        side, device = ("inside", "eth0") if IS_BRIDGE else ("guard", "wire-outside")
        self.here, self.there = _mac("outside", "eth0"), _mac(side, device)
        self.connections = {}
        # Seldom those of the test before, which are in TIME-WAIT.
        self._ports = itertools.count(int(time.time() * 100))
        self._ports_lock = threading.Lock()
        neighbour = f"{PREFIX}-{side}"
        for address in RAW.values():
            _ip("-n", neighbour, "neigh", "replace", address, "lladdr", self.here.hex(":"),
                "dev", device, "nud", "permanent")
            at_end(lambda a=address: _ip("-n", neighbour, "neigh", "del", a, "dev", device))
        with on("outside"):
            self.out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.out.bind(("eth0", 0))
            self.out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
            for kind, read in ((0x0800, self._read_ipv4), (0x86DD, self._read_ipv6)):
                back = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
                back.bind(("eth0", kind))
                back.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
                threading.Thread(target=self._hear, args=(back, read), daemon=True).start()

    def port(self):
        """A port that no connection of this test had before."""
        with self._ports_lock:
            return 10000 + next(self._ports) % 50000

    def _hear(self, back, read):
        while True:
            frame = back.recv(70000)
            with contextlib.suppress(struct.error, IndexError):
                read(frame[14:])

    def _read_ipv4(self, packet):
        if packet[16:20] == packed(RAW["IPv4"]) and packet[9] == 6:
            total = struct.unpack_from("!H", packet, 2)[0]
            self._dispatch("IPv4", packet[(packet[0] & 15) * 4:total])

    def _read_ipv6(self, packet):
        if packet[24:40] == packed(RAW["IPv6"]) and packet[6] == 6:
            self._dispatch("IPv6", packet[40:40 + struct.unpack_from("!H", packet, 4)[0]])

    def _dispatch(self, family, segment):
        theirs, ours = struct.unpack_from("!HH", segment)
        connection = self.connections.get((family, ours, theirs))
        if connection:
            connection.arrive(segment)

    def emit(self, family, packet, mac=None):
        kind = b"\x08\x00" if family == "IPv4" else b"\x86\xdd"
        self.out.send((mac or self.there) + self.here + kind + packet)


class Connection:
    """One end of a TCP connection. What is in `true` is what its owner really says; all the rest is
    what an attacker shows to whoever looks on."""

    def __init__(self, wire, family, ours=None, theirs=25, timestamps=True, sack=True, scale=7,
                 mss=1400, isn=None, low_ttl=2):
        self.wire, self.family, self.v6 = wire, family, family == "IPv6"
        self.source, self.target = packed(RAW[family]), packed(INSIDE[family])
        self.ours, self.theirs = ours or wire.port(), theirs
        self.timestamps, self.sack, self.scale, self.mss = timestamps, sack, scale, mss
        self.low_ttl = low_ttl  # reaches the guard and dies behind it
        # Both go with the clock (RFC 6528), or ports in TIME-WAIT could not be used again.
        self.isn = (int(time.monotonic() * 250_000) if isn is None else isn) % WRAP
        self.window = 0xFFFF
        self.ident = random.randrange(1 << 16)
        self.changed = threading.Condition(threading.RLock())
        self.forget()
        wire.connections[family, self.ours, theirs] = self

    def forget(self):
        """As before the first SYN."""
        self.true = bytearray()
        self.acknowledged = 0  # octets of true
        self.irs = self.rcv_nxt = None
        self.ts_recent = 0
        self.is_open = False
        self.fin_heard = self.was_reset = False
        self.early = {}
        self.heard = bytearray()
        self.seen = []  # of all that came: flags, seq, ack

    def close(self):
        self.wire.connections.pop((self.family, self.ours, self.theirs), None)

    # --- packets --------------------------------------------------------------------------------

    @property
    def nxt(self):
        """The sequence number of the next true octet."""
        return (self.isn + 1 + len(self.true)) % WRAP

    def stamp(self, by=0):
        now = int(time.monotonic() * 1000) + by
        return struct.pack("!BBBBII", 1, 1, 8, 10, now % WRAP, self.ts_recent)

    def syn_options(self):
        options = struct.pack("!BBH", 2, 4, self.mss)
        if self.sack:
            options += b"\1\1\4\2"
        if self.timestamps:
            options += self.stamp()
        if self.scale is not None:
            options += bytes((1, 3, 3, self.scale))
        return options

    def segment(self, payload=b"", at=0, flags=PSH | ACK, seq=None, ack=None, ack_by=0, options=None,
                more_options=b"", ts_by=0, no_ts=False, md5=False, doff=None, urgent=0, window=None,
                reserved=0, cksum=0, sum_len=None):
        """A TCP segment; at: octets behind the next true one; *_by: added to what would be right;
        cksum: added to the checksum; sum_len: octets that the checksum is made for."""
        if options is None:
            # There is no room for all of them beside an MD5 option.
            options = self.syn_options() if flags & SYN and not md5 else b""
            if self.timestamps and not flags & SYN and not no_ts:
                options = self.stamp(ts_by)
        options += (MD5 if md5 else b"") + more_options
        options += b"\1" * (-len(options) % 4)
        seq = (self.nxt + at) % WRAP if seq is None else seq % WRAP
        ack = (self.rcv_nxt or 0) if ack is None else ack
        doff = 5 + len(options) // 4 if doff is None else doff
        window = self.window if window is None else window
        head = struct.pack("!HHIIHHHH", self.ours, self.theirs, seq, (ack + ack_by) % WRAP,
                           doff << 12 | reserved << 9 | flags, window, 0, urgent)
        whole = head + options + payload
        summed = whole if sum_len is None else whole[:sum_len]
        total = (checksum(self.pseudo(len(summed)) + summed) + cksum) & 0xFFFF
        return whole[:16] + struct.pack("!H", total) + whole[18:]

    def pseudo(self, length):
        if self.v6:
            return self.source + self.target + struct.pack("!II", length, 6)
        return self.source + self.target + struct.pack("!HH", 6, length)

    def packet(self, body, ttl=64, tos=0, total=None, ip_options=b"", extensions=b"", first=6,
               flags_offset=0x4000, ident=None, ihl=None, version=None, ip_sum=0, protocol=6):
        """An IP packet around it. total: the length field, less what is there if negative;
        extensions, first: IPv6 extension headers and the number of the first of them."""
        ttl = self.low_ttl if ttl == "low" else ttl
        if self.v6:
            body = extensions + body
            length = len(body) if total is None else (len(body) + total if total < 0 else total)
            first = protocol if not extensions else first
            return struct.pack("!IHBB", (version or 6) << 28 | tos << 20, length, first, ttl) \
                + self.source + self.target + body
        ip_options += b"\0" * (-len(ip_options) % 4)
        length = 20 + len(ip_options) + len(body)
        if total is not None:
            length = length + total if total < 0 else total
        if ident is None:
            self.ident = ident = (self.ident + 1) & 0xFFFF
        first_octet = (version or 4) << 4 | (5 + len(ip_options) // 4 if ihl is None else ihl)
        head = struct.pack("!BBHHHBBH", first_octet, tos, length, ident, flags_offset, ttl, protocol, 0)
        head += self.source + self.target + ip_options
        total = (checksum(head) + ip_sum) & 0xFFFF
        return head[:10] + struct.pack("!H", total) + head[12:] + body

    IP_FIELDS = {"ttl", "tos", "total", "ip_options", "extensions", "first", "flags_offset", "ident", "ihl",
                 "version", "ip_sum", "protocol"}

    def send(self, payload=b"", mac=None, **fields):
        """Sends one segment in one packet; what it carries does not become true by that."""
        ip = {name: fields.pop(name) for name in list(fields) if name in self.IP_FIELDS}
        self.wire.emit(self.family, self.packet(self.segment(payload, **fields), **ip), mac)

    def send_fragments(self, pieces, ident=None, first=6, **ip):
        """Sends fragments of one datagram: (offset, is there more, octets), in that order."""
        ident = random.randrange(1, 1 << 16) if ident is None else ident
        for at, more, octets in pieces:
            if self.v6:
                header = struct.pack("!BBHI", first, 0, at | more, ident)
                packet = self.packet(octets, extensions=header, first=44, **ip)
            else:
                packet = self.packet(octets, ident=ident, flags_offset=more << 13 | at // 8, **ip)
            self.wire.emit(self.family, packet)
        return ident

    # --- a well-behaved end -----------------------------------------------------------------------

    def arrive(self, segment):
        seq, ack, offset_flags, _, _, urgent = struct.unpack_from("!IIHHHH", segment, 4)
        flags, start = offset_flags & 0x1FF, (offset_flags >> 12) * 4
        options, payload = segment[20:start], segment[start:]
        with self.changed:
            self.seen.append((flags, seq, ack))
            if flags & RST:
                # In SYN-SENT it must acknowledge the SYN (RFC 9293 section 3.10.7.3).
                if seq == self.rcv_nxt or (self.irs is None and ack == (self.isn + 1) % WRAP):
                    self.was_reset = True
            elif self.irs is None and flags & ACK and ack != (self.isn + 1) % WRAP:
                self.send(flags=RST, seq=ack)  # of an earlier connection
            elif flags & SYN:
                self._arrive_syn(flags, seq, ack, options)
            elif self.irs is not None:
                self._arrive_data(flags, seq, ack, options, payload)
            self.changed.notify_all()

    def _arrive_syn(self, flags, seq, ack, options):
        if self.irs is None:
            self.irs, self.rcv_nxt = seq, (seq + 1) % WRAP
            self._read_stamp(options, is_syn=True)
        elif self.is_open:
            self.send(flags=ACK)

    def _arrive_data(self, flags, seq, ack, options, payload):
        if flags & ACK:
            acknowledged = after(ack, (self.isn + 1) % WRAP)
            self.acknowledged = max(self.acknowledged, min(acknowledged, len(self.true)))
        if after(seq, self.rcv_nxt) <= 0:
            self._read_stamp(options)
        if not payload and not flags & FIN:
            return
        self.early.setdefault(seq, (payload, flags & FIN))
        for begin in sorted(self.early, key=lambda begin: after(begin, self.rcv_nxt)):
            octets, fin = self.early[begin]
            known = after(self.rcv_nxt, begin)
            if known < 0:
                break
            del self.early[begin]
            if known <= len(octets) and not self.fin_heard:
                self.heard += octets[known:]
                self.fin_heard = bool(fin)
                self.rcv_nxt = (begin + len(octets) + (1 if fin else 0)) % WRAP
        self.send(flags=ACK)

    def _read_stamp(self, options, is_syn=False):
        at = options.find(b"\x08\x0a")
        if self.timestamps and at >= 0:
            self.ts_recent = struct.unpack_from("!I", options, at + 2)[0]
        elif is_syn:
            self.timestamps = False

    def until(self, condition, seconds):
        """Waits until it is so or the connection is at its end, and repeats what is true and not yet
        acknowledged. Says whether it is so."""
        end, pause = time.monotonic() + seconds, 0.25
        repeat = time.monotonic() + pause
        with self.changed:
            while True:
                if condition():
                    return True
                now = time.monotonic()
                if self.was_reset or now > end:
                    return False
                if now >= repeat:
                    self.repeat()
                    pause *= 1.5
                    repeat = now + pause
                self.changed.wait(max(0.001, min(end, repeat) - now))

    def repeat(self):
        """Sends again what is not acknowledged, as one segment."""
        if self.is_open and self.acknowledged < len(self.true):
            self.send(bytes(self.true[self.acknowledged:][:self.mss - 40]),
                      seq=self.isn + 1 + self.acknowledged)
        elif not self.is_open and self.irs is None:
            self.send(flags=SYN, seq=self.isn)

    def connect(self, seconds=5, **fields):
        """SYN, until the SYN/ACK is here. The acknowledgement is left to `established`."""
        self.send(flags=SYN, seq=self.isn, **fields)
        return self.until(lambda: self.irs is not None, seconds)

    def established(self, **fields):
        """The last of the three."""
        self.is_open = True
        self.send(flags=ACK, **fields)

    def open(self, seconds=5):
        if not self.connect(seconds):
            return False
        self.established()
        return True

    def commit(self, octets):
        """It was said, or will be by repeats."""
        with self.changed:
            self.true += octets

    def push(self, octets):
        """Says it."""
        with self.changed:
            for at in range(0, len(octets), self.mss - 40):
                self.send(octets[at:at + self.mss - 40], at=at)
            self.commit(octets)

    def line(self, seconds=6):
        """The next line that was heard; None when it did not come."""
        if not self.until(lambda: b"\n" in self.heard or self.fin_heard, seconds):
            return None
        with self.changed:
            line, end, rest = bytes(self.heard).partition(b"\n")
            if not end:
                return None
            self.heard = bytearray(rest)
            return line + end

    def abort(self):
        """Ends it for good at both ends."""
        self.send(flags=RST | ACK)

    def finish(self, seconds=2):
        """Closes after the other end has."""
        self.until(lambda: self.fin_heard, seconds)
        self.send(flags=FIN | ACK)


def cut(octets, size):
    """The octets in pieces, each with its place."""
    return [(at, octets[at:at + size]) for at in range(0, len(octets), size)]


def fragments(octets, size):
    """The octets as fragments for `send_fragments`; size is a multiple of 8."""
    return [(at, at + size < len(octets), piece) for at, piece in cut(octets, size)]


def random_text(length):
    """Octets that are no line."""
    return os.urandom(length).replace(b"\r", b"x").replace(b"\n", b"y")
