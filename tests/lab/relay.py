"""A relay in the wires of the lab that delays, loses and reorders what passes: netem, but for chosen segments.

As a module: `Relay(delay_ms)` puts it into both wires (`netns/lab wan`) and takes it out when the test
ends; `relay.strike(port, wire, way, fault)` says what happens to the connection of that client port;
`relay.report(port)` says what has happened. As a program it runs in the namespace of the wan: the same
words come as lines of JSON on its standard input.

Every connection is counted for itself, per wire and way. Only first copies count, so that a fault at a
place is the same fault whatever was repeated before: places are numbers from 0 of segments with data
(`data`) or of acknowledgements without (`ack`). Nothing is drawn but from the seed.

A fault is a dictionary with some of:

    drop_data  [places]      lose these segments
    drop_ack   [place, n, s] lose this acknowledgement and those behind it, n at most, for s seconds at most:
                             a sender that has heard nothing repeats one segment a time-out, and n lost
                             answers to that would be minutes
    drop_last  count         lose the segment with the end of the mail, that often
    hold       [place, k]    let k segments overtake this one (at most HOLD_MAX seconds long)
    lose       p             lose each packet with this probability
    shuffle    [p, k]        with this probability, let up to k segments overtake a segment
"""

import collections
import contextlib
import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import time

SIDES = ("outside", "inside")
TO_SERVER, TO_CLIENT = "to-server", "to-client"
END_OF_MAIL = b"\r\n.\r\n"
HOLD_MAX = 0.1

ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_IGNORE_OUTGOING = 23
FIN, SYN, RST = 1, 2, 4


class Segment:
    """What the relay wants to know of a TCP segment; None of other packets."""

    __slots__ = ("client", "way", "seq", "flags", "data")

    @staticmethod
    def read(frame, port):
        """Reads an Ethernet frame of a connection to that port."""
        kind = frame[12:14]
        if kind == b"\x08\x00" and frame[23] == 6:
            tcp = 14 + (frame[14] & 15) * 4
            end = 14 + (frame[16] << 8 | frame[17])
        elif kind == b"\x86\xdd" and frame[20] == 6:
            tcp = 54
            end = 54 + (frame[18] << 8 | frame[19])
        else:
            return None
        source, target, seq = struct.unpack_from("!HHI", frame, tcp)
        if port not in (source, target):
            return None
        segment = Segment()
        segment.client, segment.way = (source, TO_SERVER) if target == port else (target, TO_CLIENT)
        segment.seq = seq
        segment.flags = frame[tcp + 13]
        segment.data = frame[tcp + (frame[tcp + 12] >> 4) * 4 : end]
        return segment


class Lane:
    """One way of one connection on one wire."""

    def __init__(self, fault, seed):
        self.fault = fault
        self.drop_data = set(fault.get("drop_data", ()))
        self.deaf_until = None
        self.last_left = fault.get("drop_last", 0)
        self.random = random.Random(seed)
        self.top = None  # the end of what has come
        self.data = self.ack = self.again = self.struck = 0
        self.held = []  # [how many more must pass, until when, way out, frame]

    def judge(self, segment):
        """What happens to a segment: 0 passes, None is lost, k is overtaken by k."""
        # A lost SYN costs a second, and it is not the mail's.
        if segment.flags & (SYN | RST):
            self.top = segment.seq + 1 & 0xFFFFFFFF
            return 0
        fault = self.fault
        lost = self.random.random() < fault["lose"] if "lose" in fault else False
        if not segment.data:
            if segment.flags & FIN:
                return None if lost else 0
            place, self.ack = self.ack, self.ack + 1
            return None if lost or self.is_deaf(place) else 0
        if self.last_left and segment.data.endswith(END_OF_MAIL):
            self.last_left -= 1
            lost = True
        end = segment.seq + len(segment.data) & 0xFFFFFFFF
        if self.top is not None and end - self.top - 1 & 0xFFFFFFFF >= 1 << 31:
            self.again += 1
            return None if lost else 0
        self.top = end
        place, self.data = self.data, self.data + 1
        if lost or place in self.drop_data:
            return None
        if fault.get("hold", (-1,))[0] == place:
            return fault["hold"][1]
        if "shuffle" in fault and self.random.random() < fault["shuffle"][0]:
            return self.random.randint(1, fault["shuffle"][1])
        return 0

    def is_deaf(self, place):
        """Whether the acknowledgement at this place is to be lost."""
        first, count, seconds = self.fault.get("drop_ack", (0, 0, 0))
        if not first <= place < first + count:
            return False
        now = time.monotonic()
        self.deaf_until = self.deaf_until or now + seconds
        return now < self.deaf_until

    def overtaken(self):
        """A segment with data has passed: which of the held ones are due."""
        for entry in self.held:
            entry[0] -= 1
        return self.release(lambda entry: entry[0] <= 0)

    def release(self, is_due):
        """Takes out the held ones that are due."""
        due = [entry for entry in self.held if is_due(entry)]
        self.held = [entry for entry in self.held if not is_due(entry)]
        return due


class Program:
    """The relay itself, in the namespace of the wan."""

    def __init__(self, delay, port, seed):
        self.delay, self.port, self.seed = delay, port, seed
        self.faults = {}
        self.lanes = {}
        self.holding = []  # lanes that may hold something
        self.queue = collections.deque()  # (when, socket, frame)
        self.ends = {}
        for side in SIDES:
            with contextlib.suppress(OSError):
                pair = [self.end(f"{side}-{what}") for what in ("host", "guard")]
                self.ends[pair[0]] = (side, pair[1])
                self.ends[pair[1]] = (side, pair[0])

    @staticmethod
    def end(device):
        """A socket that sees what comes in by a device."""
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        end.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        end.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        end.setsockopt(socket.SOL_SOCKET, 32, 64 << 20)  # SO_SNDBUFFORCE
        end.bind((device, ETH_P_ALL))
        end.setblocking(False)
        return end

    def run(self):
        """Relays until standard input ends."""
        while True:
            now = time.monotonic()
            until = [self.queue[0][0]] if self.queue else []
            until += [entry[1] for lane in self.holding for entry in lane.held]
            wait = max(0, min(until) - now) if until else None
            ready, _, _ = select.select([sys.stdin, *self.ends], [], [], wait)
            for source in ready:
                if source is not sys.stdin:
                    self.take(source)
                elif not self.obey(sys.stdin.readline()):
                    return
            self.send()

    def obey(self, line):
        """One order; False at the end."""
        if not line:
            return False
        order = json.loads(line)
        if "strike" in order:
            port, wire, way = order["strike"]
            self.faults[port, wire, way] = order["fault"]
            said = {}
        else:
            said = {f"{wire} {way}": {"data": lane.data, "ack": lane.ack, "again": lane.again, "struck": lane.struck}
                    for (port, wire, way), lane in self.lanes.items() if port == order["report"]}
        print(json.dumps(said), flush=True)
        return True

    def take(self, source):
        """Takes in what has come by one device, for a while."""
        wire, out = self.ends[source]
        for _ in range(64):
            try:
                frame = source.recv(1 << 16)
            except OSError:
                return
            due = time.monotonic() + self.delay
            segment = Segment.read(frame, self.port)
            if segment is None:
                self.queue.append((due, out, frame))
                continue
            key = (segment.client, wire, segment.way)
            lane = self.lanes.get(key)
            if lane is None:
                fault = self.faults.get(key) or self.faults.get((0, wire, segment.way), {})
                lane = self.lanes[key] = Lane(fault, f"{self.seed} {key}")
            verdict = lane.judge(segment)
            if verdict != 0:
                lane.struck += 1
            if verdict is None:
                continue
            if verdict:
                lane.held.append([verdict, due + HOLD_MAX, out, frame])
                if lane not in self.holding:
                    self.holding.append(lane)
                continue
            self.queue.append((due, out, frame))
            if segment.data and lane.held:
                self.queue.extend((due, entry[2], entry[3]) for entry in lane.overtaken())

    def send(self):
        """Sends what is due."""
        now = time.monotonic()
        for lane in self.holding:
            for entry in lane.release(lambda entry: entry[1] <= now):
                self.queue.append((now + self.delay, entry[2], entry[3]))
        self.holding = [lane for lane in self.holding if lane.held]
        while self.queue and self.queue[0][0] <= now:
            _, out, frame = self.queue.popleft()
            with contextlib.suppress(OSError):
                out.send(frame)


class Relay:
    """The relay, for a test."""

    def __init__(self, delay_ms, port=25, seed=1, sides=SIDES):
        import lab  # the program does without

        self.lab = lab
        lab.at_end(self.close)
        self.sides = sides
        for side in sides:
            lab.lab("wan", side, "on")
        self.process = subprocess.Popen(
            lab.command("wan", [sys.executable, os.path.abspath(__file__), delay_ms, port, seed]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )

    def close(self):
        """Ends it and makes the wires whole."""
        if self.process:
            self.process.stdin.close()
            self.lab.stop(self.process)
            self.process = None
            for side in self.sides:
                self.lab.lab("wan", side, "off")

    def ask(self, order):
        """One order and its answer."""
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def strike(self, port, wire, way, fault):
        """What happens to the connection of a client port, on that wire and way; port 0 is all others."""
        self.ask({"strike": [port, wire, way], "fault": fault})

    def report(self, port):
        """Of each wire and way of a connection: how many segments with `data` and without (`ack`), how many came
        `again`, how many were `struck`."""
        return self.ask({"report": port})


def main():
    delay_ms, port, seed = sys.argv[1:]
    # It shall be late for nothing but the delay.
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    Program(float(delay_ms) / 1000, int(port), int(seed)).run()


if __name__ == "__main__":
    main()
