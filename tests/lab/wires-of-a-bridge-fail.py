"""A bridge whose wires do what they should not: frames come faster than they are read, an interface vanishes, an
interface has an address of the host's."""

import contextlib
import os
import re
import signal
import socket
import struct
import subprocess

from lab import LAST_COUNTER, MAILGUARD, at_end, check, check_that, done, on, read, run, start, stop, temp_dir, wait_for

# The bridged ends, and the far ends of their wires, all in the guard's namespace.
ENDS, FAR = ("fail-outside", "fail-inside"), ("far-outside", "far-inside")
# An experimental EtherType (IEEE 802): what is no mail passes as it came, and nothing answers it.
KIND = 0x88B5
RING_FRAMES, FRAMES = 2048, 5000
SOL_PACKET, PACKET_STATISTICS = 263, 6
where = temp_dir()


def make():
    """Two wires on which nobody speaks by himself."""
    for end, far in zip(ENDS, FAR):
        run("guard", "ip", "link", "add", end, "type", "veth", "peer", "name", far)
        for name in (end, far):
            run("guard", "sysctl", "-qw", f"net.ipv6.conf.{name}.disable_ipv6=1", check=True)
            run("guard", "ip", "link", "set", name, "up", check=True)


def bridge(name, *options):
    """A guard over them that has said that it guards, and its log."""
    log = os.path.join(where, name)
    process = start("guard", MAILGUARD, "run", "--bridge", *ENDS, *options, log=log)
    wait_for("the guard", lambda: "guarding" in read(log) or process.poll() is not None)
    return process, log


def counters(process, log):
    """What it prints when it is asked."""
    before = read(log).count("Drops:")
    process.send_signal(signal.SIGUSR1)
    text = wait_for("counters", lambda: (lambda said: said if said.count("Drops:") > before
                                         and re.search(rf"\b{LAST_COUNTER}\s+\d+\n", said.rsplit("Drops:", 1)[1])
                                         else "")(read(log)))
    return {name: int(value) for name, value in re.findall(r"^  (\S+)\s+(\d+)$", text, re.M)}


def ended(process):
    """Its exit status, or None when it does not end."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(10)
    return None


class Wire:
    """The far ends: what is sent outside, and how much of it has come inside."""

    def __init__(self):
        with on("guard"):
            self.outside = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.inside = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(KIND))
        self.outside.bind((FAR[0], 0))
        self.inside.bind((FAR[1], KIND))
        self.arrived = 0

    def send(self, frames):
        """Small ones, each of which the kernel has brought as far as it goes when the next is sent."""
        for number in range(frames):
            self.outside.send(b"\2\0\0\0\0\1" + b"\2\0\0\0\0\2" + struct.pack("!HI", KIND, number) + bytes(46))

    def count(self):
        """Frames up to now, those that this socket had no room for included; asking begins anew."""
        self.arrived += struct.unpack("II", self.inside.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[0]
        return self.arrived


make()
at_end(lambda: [run("guard", "ip", "link", "del", name) for name in ENDS])

# More frames than the ring has places for come while nobody reads.
socket_path = os.path.join(where, "console")
guard, log = bridge("flood", "--console", socket_path)
wire = Wire()
guard.send_signal(signal.SIGSTOP)
wait_for("it stands still", lambda: re.search(r"^State:\s+T", read(f"/proc/{guard.pid}/status"), re.M))
wire.send(FRAMES)
guard.send_signal(signal.SIGCONT)
wait_for("what the ring had room for", lambda: wire.count() >= RING_FRAMES)
told = counters(guard, log)
check("frames that found no room", told["ring-full"], FRAMES - RING_FRAMES)
check("frames that passed", (wire.count(), told["frames-relayed"]), (RING_FRAMES, RING_FRAMES))
said = subprocess.run([MAILGUARD, "console", "--socket", socket_path], input="enable\n\nshow asp drop\n", text=True,
                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60).stdout
check("show asp drop", re.findall(r"\(ring-full\) +(\d+)$", said, re.M), [str(FRAMES - RING_FRAMES)])
wait_for("the log", lambda: f"ring-full, {FRAMES - RING_FRAMES} times" in read(log))
for _ in range(10):
    before = wire.count()
    wire.send(100)
    wait_for("a few frames", lambda: wire.count() == before + 100)
check("of a few frames none finds no room", counters(guard, log)["ring-full"], FRAMES - RING_FRAMES)
check_that("of an address nothing is said", "has an address" not in read(log), read(log))
guard.send_signal(signal.SIGTERM)
check("it ends when it is told to", ended(guard), 0)

# An interface vanishes. It goes down first, and of what comes after that the kernel says nothing to who has seen it go down.
for side, end, was_seen in (("outside", ENDS[0], False), ("outside", ENDS[0], True), ("inside", ENDS[1], True)):
    guard, log = bridge(f"gone-{side}-{was_seen}", "--workers", "2")
    if was_seen:
        run("guard", "ip", "link", "set", end, "down", check=True)
        # Who prints them has looked.
        counters(guard, log)
        check(f"{end} is down: the guard goes on", guard.poll(), None)
    run("guard", "ip", "link", "del", end, check=True)
    check(f"{end} is deleted: the guard ends with a status", ended(guard), 1)
    complaint = [line for line in read(log).splitlines() if line.startswith("mailguard: ")]
    check("and says", complaint, [f"mailguard: the {side} interface is gone: bring it back and start mailguard again"])
    stop(guard)
    make()

# An interface has an address.
run("guard", "ip", "addr", "add", "203.0.113.1/24", "dev", ENDS[1], check=True)
guard, log = bridge("address")
check("it guards all the same", guard.poll(), None)
check("of its address", re.findall(r"(\S+) has an address: .*: (.*)$", read(log), re.M),
      [(ENDS[1], f"ip addr flush dev {ENDS[1]}")])
done()
