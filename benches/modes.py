"""The datapaths that are compared: what stands between the client's and the server's namespace."""

import glob
import os
import re
import signal
import subprocess
import sys
import tempfile

import bed
from rows import open_files
from bed import MTA, PORT, ROOT, Trouble, host

# The forwarder of benches/forward.rs; scripts/bench says where cargo has put it.
FORWARD = os.environ.get("MAILGUARD_FORWARD", "")

LEGS = ("mg-outside", "mg-inside")
# Fragments have no ports: connection tracking puts them together before routing looks at ports, as in
# netns/lab. The null TUN pays the same for it.
DEFRAGMENT = """table inet defragment {
    chain untracked { type filter hook prerouting priority raw; policy accept; notrack; }
    chain assembled { type filter hook prerouting priority -200; policy accept; ct state new accept; }
}
"""
PERSONALITY = {"off": "off", "mailguard": "mailguard", "asa": "asa94"}
# How long the -poll modes look for packets before they sleep, in µs: many round trips.
BUSY_POLL = 1000


class Mode:
    """One datapath. The base is the kernel that routes: nothing to start."""

    routed = True
    # Takes mail for itself and delivers it later.
    stores = False
    # Ends connections and opens others.
    is_proxy = False
    # Its processes' memory is worth a row.
    has_memory = False
    # Remembers each connection that has begun, so that a flood can fill its table.
    has_table = False
    # The forwarder of the same device without inspection.
    null = None

    def __init__(self, name):
        self.name = name
        self.processes = []
        self.row = None
        self.steered = False

    def why_not(self):
        """Why it cannot be measured here, or None."""
        return None

    def up(self, gro):
        """Makes the namespaces and starts it."""
        self.row = bed.Row(self.name, self.routed, gro)
        self.start()

    def start(self):
        """Starts what forwards."""

    def stop(self):
        """Ends it."""
        while self.processes:
            self.processes.pop().stop()

    def restart(self):
        """Begins anew, with nothing remembered."""
        self.stop()
        self.start()

    def is_alive(self):
        """Whether what was started still runs."""
        return all(process.popen.poll() is None for process in self.processes)

    def last_words(self):
        """What it said at last."""
        return " ".join(process.said().strip()[-300:] for process in self.processes)

    def target(self, family):
        """Where the client connects to."""
        return self.row.server(family)

    def is_empty(self):
        """Whether everything it took has been delivered."""
        return True

    def launch(self, *argv, until, file="err", **options):
        """Starts a program in the middle and waits until it says so."""
        process = self.row.start("middle", *argv, **options)
        self.processes.append(process)
        process.wait_for(until, file=getattr(process, file))

    def steer(self, outside, inside):
        """Leads what comes from the wires and has to do with mail into the devices."""
        row, first = self.row, not self.steered
        self.steered = True
        if first:
            row.exec("middle", "nft", DEFRAGMENT)
        for device, table, wire in ((outside, 101, "wire-client"), (inside, 102, "wire-server")):
            row.ip("middle", "link", "set", device, "mtu", "65535", "txqueuelen", "5000", "up")
            for flag in ("-4", "-6"):
                row.ip("middle", flag, "route", "replace", "default", "dev", device, "table", str(table))
                # Rules outlive a device, routes do not.
                for port in ("dport", "sport") if first else ():
                    row.ip("middle", flag, "rule", "add", "pref", "100", "iif", wire, "ipproto", "tcp",
                           port, str(PORT), "lookup", str(table))


class NullTun(Mode):
    """One TUN device, with a thread a queue that writes back what it reads."""

    def __init__(self, name, queues):
        super().__init__(name)
        self.queues = queues

    def start(self):
        self.launch(FORWARD, "tun", "null", self.queues, until="forwarding", file="out")
        self.steer("null", "null")


class NullPacket(Mode):
    """Two packet sockets, with a thread a direction."""

    routed = False

    def start(self):
        self.launch(FORWARD, "packet", "wire-client", "wire-server", until="forwarding", file="out")


class Guard(Mode):
    """mailguard."""

    has_memory = True

    def __init__(self, name, personality, workers, busy_poll):
        super().__init__(name)
        # What is not inspected is not remembered.
        self.has_table = personality != PERSONALITY["off"]
        self.options = ["--personality", personality, "--workers", workers, "--busy-poll", busy_poll]

    def counters(self):
        """What it prints when it is asked."""
        process = self.processes[0]
        asked = process.said(process.out).count("Drops:")
        process.popen.send_signal(signal.SIGUSR1)
        for _ in range(500):
            blocks = process.said(process.out).split("Drops:")
            # The last line of a block.
            if len(blocks) > asked + 1 and re.search(r"^  ring-full +\d+\n", blocks[-1], re.M):
                said = blocks[-2] + blocks[-1]
                return {name: int(value) for name, value in re.findall(r"^  (\S+) +(\d+)$", said, re.M)}
            bed.time.sleep(0.01)
        raise Trouble(f"{self.name} does not print its counters")


class Tun(Guard):
    """mailguard between two TUN legs."""

    null = "null-tun"

    def __init__(self, name, personality, workers, busy_poll):
        super().__init__(name, personality, workers, busy_poll)
        if workers > 1:
            self.null = "null-tun2"

    def start(self):
        self.launch(bed.MAILGUARD, "run", "--outside", LEGS[0], "--inside", LEGS[1], "--no-console",
                    *self.options, until="guarding", env={"RUST_LOG": "info"})
        self.steer(*LEGS)


class Bridge(Guard):
    """mailguard as a bridge between two interfaces."""

    routed = False
    null = "null-packet"

    def why_not(self):
        if "--bridge" not in bed.run(bed.MAILGUARD, "run", "--help"):
            return "this mailguard has no --bridge"
        return None

    def start(self):
        self.launch(bed.MAILGUARD, "run", "--bridge", "wire-client", "wire-server", "--no-console",
                    *self.options, until="ing outside wire-client", env={"RUST_LOG": "info"})


class Proxy(Mode):
    """What ends the client's connection and opens another one; configured by one file."""

    is_proxy = True
    has_memory = True

    def target(self, family):
        return host(family, 0, 1)

    def file(self, text):
        """The configuration as a file, in a directory that goes with this process."""
        # Kept: a directory vanishes with its object.
        self.place = tempfile.TemporaryDirectory(prefix="mailguard-bench.")
        path = os.path.join(self.place.name, "conf")
        with open(path, "w") as file:
            file.write(text)
        return path

    def unpacked(self, package, program):
        """The program of a package that scripts/bench has unpacked."""
        path = os.path.join(MTA, package, "usr", "sbin", program)
        if not os.path.exists(path):
            raise Trouble(f"{package} is not unpacked; scripts/bench does that")
        libraries = glob.glob(os.path.join(MTA, package, "usr", "lib", "*-linux-gnu*"))
        return path, {"LD_LIBRARY_PATH": ":".join(libraries)}

    @staticmethod
    def connections_max():
        """As many as there are open files for: two each, and HAProxy, which refuses to start with more, wants pipes
        for a quarter of them."""
        return min(60_000, int(open_files() / 2.55))

    def listens(self):
        """Waits until port 25 is open."""
        for _ in range(400):
            if self.row.exec("middle", "ss", "-Hltn", f"sport = :{PORT}").count("\n") >= 2:
                return
            if not self.is_alive():
                break
            bed.time.sleep(0.05)
        raise Trouble(f"{self.name} does not listen; it said: {self.last_words()}")


class Haproxy(Proxy):
    """HAProxy in TCP mode. Its threads are as many as there are cores, by its own choice."""

    def start(self):
        ends = ""
        for family in bed.NETS:
            ends += (f"listen {family}\n    bind {'[' + host(family, 0, 1) + ']' if family == 'IPv6' else host(family, 0, 1)}:{PORT}\n"
                     f"    server mail {'[' + self.row.server(family) + ']' if family == 'IPv6' else self.row.server(family)}:{PORT}\n")
        connections = self.connections_max()
        config = (f"global\n    maxconn {connections}\n"
                  f"defaults\n    mode tcp\n    maxconn {connections}\n    option splice-auto\n"
                  "    timeout connect 10s\n    timeout client 1h\n    timeout server 1h\n" + ends)
        program, env = self.unpacked("haproxy", "haproxy")
        self.processes.append(self.row.start("middle", program, "-db", "-f", self.file(config), env=env))
        self.listens()


class Nginx(Proxy):
    """nginx with its stream module, a worker process a core."""

    def start(self):
        servers = "".join(
            f"    server {{ listen {_bracketed(host(family, 0, 1))}:{PORT} backlog=8192; "
            f"proxy_pass {_bracketed(self.row.server(family))}:{PORT}; proxy_timeout 1h; }}\n"
            for family in bed.NETS)
        program, env = self.unpacked("libnginx-mod-stream", "nginx")
        module = os.path.join(MTA, "libnginx-mod-stream", "usr/lib/nginx/modules/ngx_stream_module.so")
        place = self.file("")
        config = (f"load_module {module};\nuser root;\ndaemon off;\nworker_processes auto;\n"
                  f"pid {place}.pid;\nerror_log stderr warn;\n"
                  f"events {{ worker_connections {open_files()}; }}\nstream {{\n{servers}}}\n")
        with open(place, "w") as file:
            file.write(config)
        self.processes.append(
            self.row.start("middle", program, "-p", os.path.dirname(place), "-e", "stderr", "-c", place, env=env))
        self.listens()


class Postfix(Proxy):
    """Postfix, which takes a mail, stores it and forwards it. In a mount namespace of its own
    (postfix.py), because its files have their places."""

    has_memory = False
    stores = True

    def start(self):
        process = bed.Process(
            ["unshare", "--mount", "--propagation", "private", sys.executable, "-u",
             os.path.join(ROOT, "benches", "postfix.py"), self.row.server("IPv4"), self.row.server("IPv6")],
            stdin=subprocess.PIPE, env={"MAILGUARD_LAB": f"{bed.PREFIX}-{self.name}"})
        self.processes.append(process)
        process.wait_for("ready", 60.0, process.out)

    def stop(self):
        for process in self.processes:
            # The end of its input is the sign to end.
            process.popen.stdin.close()
            process.popen.wait(30)
        super().stop()

    def is_empty(self):
        process = self.processes[0]
        asked = process.said(process.out).count("\n")
        process.popen.stdin.write("queue\n")
        process.popen.stdin.flush()
        for _ in range(500):
            lines = process.said(process.out).splitlines()
            if len(lines) > asked:
                return lines[-1] == "empty"
            bed.time.sleep(0.01)
        raise Trouble("Postfix's keeper does not answer")


def _bracketed(address):
    return f"[{address}]" if ":" in address else address


def all_modes():
    """Every mode by its name, in the order in which tables have them."""
    modes = [Mode("routing"), NullTun("null-tun", 1), NullTun("null-tun2", 2), NullPacket("null-packet")]
    for kind, made in (("tun", Tun), ("bridge", Bridge)):
        for word, personality in PERSONALITY.items():
            modes += [made(f"{kind}-{word}{suffix}", personality, workers, busy_poll)
                      for suffix, workers, busy_poll in (("", 1, 0), ("2", 2, 0), ("-poll", 1, BUSY_POLL))]
    modes += [Haproxy("haproxy"), Nginx("nginx"), Postfix("postfix")]
    return {mode.name: mode for mode in modes}


DEFAULT = ("routing null-tun null-tun2 null-packet tun-off tun-mailguard tun-mailguard2 tun-asa "
           "bridge-off bridge-mailguard bridge-mailguard2 bridge-asa haproxy nginx postfix").split()
