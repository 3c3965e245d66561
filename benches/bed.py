"""The test bed: three network namespaces in a row for each mode, what runs in them, and its end."""

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PREFIX = os.environ.get("MAILGUARD_LAB", "mgbench")
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
MAILGUARD = os.environ.get("MAILGUARD", os.path.join(TARGET, "release", "mailguard"))
MTA = os.path.join(TARGET, "mta")
SIDES = ("client", "middle", "server")
PORT = 25

# The wires of a middle that routes; a middle that bridges has the first net on both sides.
NETS = {"IPv4": ("192.0.2", "198.51.100"), "IPv6": ("2001:db8:1:", "2001:db8:2:")}
LENGTH = {"IPv4": 24, "IPv6": 64}
FLAG = {"IPv4": "-4", "IPv6": "-6"}


class Trouble(Exception):
    """What keeps one mode or one measurement from being made; the others go on."""

    def __init__(self, why):
        super().__init__(" ".join(why.split()))


def host(family, net, number):
    """An address."""
    return f"{NETS[family][net]}{'.' if family == 'IPv4' else ':'}{number}"


def say(text):
    """A line for who watches."""
    print(text, file=sys.stderr, flush=True)


def run(*argv, check=True):
    """Runs a program and returns what it printed."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if check and done.returncode != 0:
        raise Trouble(f"{' '.join(argv)}: {done.stdout.strip()[-500:]}")
    return done.stdout


# --- processes --------------------------------------------------------------------------------------

_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def _die_with_parent():
    """The kernel kills the child when this script dies, however it dies."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A program in the background, with its output in files."""

    def __init__(self, argv, env=None, stdin=subprocess.DEVNULL):
        self.out = tempfile.TemporaryFile("w+")
        self.err = tempfile.TemporaryFile("w+")
        self.name = os.path.basename(argv[0])
        self.popen = subprocess.Popen(
            argv, stdin=stdin, stdout=self.out, stderr=self.err, text=True, start_new_session=True,
            preexec_fn=_die_with_parent, env={**os.environ, **(env or {})})
        _started.append(self)

    @property
    def pid(self):
        return self.popen.pid

    def said(self, file=None):
        """What it printed on standard error (or out) up to now."""
        file = file or self.err
        # Not through the file object: its offset is shared with the program that writes.
        return os.pread(file.fileno(), 1 << 20, 0).decode(errors="replace")

    def wait_for(self, text, seconds=20.0, file=None):
        """Waits until it has said so."""
        end = time.monotonic() + seconds
        while text not in self.said(file):
            if self.popen.poll() is not None or time.monotonic() > end:
                words = (self.said(self.out) + self.said()).strip()[-500:]
                raise Trouble(f"{self.name} did not say {text!r}; it said: {words}")
            time.sleep(0.01)

    def wait(self, seconds):
        """Waits for its end; the exit status."""
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            raise Trouble(f"{self.name} had not ended after {seconds:.0f} s") from None

    def stop(self, seconds=5.0):
        """Ends it and its process group."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.popen.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(seconds)
                break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        if self in _started:
            _started.remove(self)


_started = []


def stop_all():
    """Ends whatever still runs."""
    while _started:
        _started[-1].stop(2.0)


# --- namespaces -------------------------------------------------------------------------------------

_made = []
_RUN = "/run" if os.access("/run", os.W_OK) else "/tmp"
_state_path = os.path.join(_RUN, f"{PREFIX}.namespaces")
# Configurations and whatever else is needed as a file.
_files = os.path.join(_RUN, f"{PREFIX}.files")
_lock = None


def claim():
    """Makes sure that nobody else benches under this name, and clears away what a run that was killed left."""
    global _lock
    _lock = open(_state_path, "a+")
    try:
        fcntl.flock(_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit(f"another run uses the name {PREFIX}; wait, or choose MAILGUARD_LAB=other")
    _lock.seek(0)
    _made.extend(_lock.read().split())
    if _made:
        say("clearing away what an earlier run left")
        remove_namespaces()
    shutil.rmtree(_files, ignore_errors=True)
    os.mkdir(_files, 0o700)
    os.environ["TMPDIR"] = tempfile.tempdir = _files


def add_namespace(name):
    """Makes a namespace, and writes down that it is ours."""
    if os.path.exists(f"/run/netns/{name}"):
        raise Trouble(f"a namespace {name} exists that was not made here; choose MAILGUARD_LAB=other")
    _lock.write(name + "\n")
    _lock.flush()
    _made.append(name)
    run("ip", "netns", "add", name)


def remove_namespaces():
    """Ends what runs in our namespaces, and deletes them."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for _ in range(20):
            pids = [p for p in map(int, " ".join(
                run("ip", "netns", "pids", name, check=False) for name in _made
                if os.path.exists(f"/run/netns/{name}")).split()) if p != os.getpid()]
            if not pids:
                break
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            time.sleep(0.05)
    for name in _made:
        if os.path.exists(f"/run/netns/{name}"):
            run("ip", "netns", "del", name, check=False)
    _made.clear()
    _lock.seek(0)
    _lock.truncate()


def clean_up():
    """Ends everything that was started and deletes everything that was made."""
    stop_all()
    if _lock:
        remove_namespaces()
        shutil.rmtree(_files, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.remove(_state_path)


class Row:
    """client -- middle -- server, of one mode. A middle that bridges has no addresses."""

    def __init__(self, mode, routed, gro=None):
        self.ns = {side: f"{PREFIX}-{mode}-{side}" for side in SIDES}
        self.routed = routed
        for side in SIDES:
            add_namespace(self.ns[side])
            self.ip(side, "link", "set", "lo", "up")
        for side in ("client", "server"):
            self.ip("middle", "link", "add", f"wire-{side}", "type", "veth",
                    "peer", "name", "eth0", "netns", self.ns[side])
            if gro:
                self.exec("middle", "ethtool", "-K", f"wire-{side}", "gro", gro)
        self.sysctl("middle", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0",
                    "net.ipv6.conf.default.addr_gen_mode=1", "net.ipv6.conf.all.accept_dad=0",
                    "net.ipv6.conf.default.accept_dad=0")
        for side in ("client", "server"):
            # What one run learns about the path must not slow the next, and a run opens more
            # connections than TIME-WAIT would leave ports for.
            self.sysctl(side, "net.ipv4.tcp_no_metrics_save=1", "net.ipv4.tcp_tw_reuse=1",
                        "net.ipv4.ip_local_port_range=1024 65535", "net.core.somaxconn=8192",
                        "net.ipv4.tcp_max_syn_backlog=8192", "net.ipv6.conf.all.accept_dad=0",
                        "net.ipv6.conf.default.accept_dad=0")
        # A proxy in the middle is an end, too.
        self.sysctl("middle", "net.ipv4.tcp_no_metrics_save=1", "net.ipv4.tcp_tw_reuse=1",
                    "net.ipv4.ip_local_port_range=1024 65535", "net.core.somaxconn=8192",
                    "net.ipv4.tcp_max_syn_backlog=8192")
        if routed:
            self.sysctl("middle", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
                        "net.ipv4.conf.all.send_redirects=0")
        self.by_route = False
        for side in SIDES:
            try:
                self.sysctl(side, "net.ipv4.tcp_congestion_control=cubic")
            except Trouble:
                # A new namespace may not choose what is not the machine's default, but routes may.
                self.by_route = True
        self.address()
        for family in LENGTH if self.by_route else ():
            said = self.ip("client", "route", "get", self.server(family))
            if "congctl cubic" not in said:
                raise Trouble(f"{family}: another congestion control than everybody's: {said}")

    def address(self):
        """Addresses and routes."""
        for family, bits in LENGTH.items():
            flag = FLAG[family]
            nodad = ["nodad"] if family == "IPv6" else []
            far = 1 if self.routed else 0
            numbers = [("client", "eth0", 0, 10), ("server", "eth0", far, 20)]
            if self.routed:
                numbers += [("middle", "wire-client", 0, 1), ("middle", "wire-server", 1, 1)]
            else:
                self.sysctl("middle", "net.ipv6.conf.all.disable_ipv6=1")
            for side, device, net, number in numbers:
                self.ip(side, flag, "addr", "add", f"{host(family, net, number)}/{bits}", "dev", device, *nodad)
                self.ip(side, "link", "set", device, "up")
            if not self.routed:
                for device in ("wire-client", "wire-server"):
                    self.ip("middle", "link", "set", device, "up")
            for side, device, net, _ in numbers:
                subnet = f"{host(family, net, 0)}/{bits}" if family == "IPv4" else f"{NETS[family][net]}:/{bits}"
                cubic = ["congctl", "cubic"] if self.by_route else []
                if cubic:
                    # In the place of the kernel's own: with another metric it would stand beside that, and lose.
                    metric = ["metric", "256"] if family == "IPv6" else []
                    self.ip(side, flag, "route", "replace", subnet, "dev", device, "proto", "kernel", *metric, *cubic)
                if self.routed and side != "middle":
                    self.ip(side, flag, "route", "add", "default", "via", host(family, net, 1), *cubic)

    def server(self, family):
        """The server's address."""
        return host(family, 1 if self.routed else 0, 20)

    def another_client(self, number):
        """One more IPv4 address of the client's."""
        address = host("IPv4", 0, 100 + number)
        self.ip("client", "addr", "replace", f"{address}/{LENGTH['IPv4']}", "dev", "eth0")
        return address

    def ip(self, side, *words):
        """ip(8) in a namespace."""
        return run("ip", "-n", self.ns[side], *words)

    def exec(self, side, *argv):
        """Runs a program there to its end."""
        return run("ip", "netns", "exec", self.ns[side], *argv)

    def sysctl(self, side, *settings):
        """Sets kernel settings there."""
        for setting in settings:
            self.exec(side, "sysctl", "-qw", setting)

    def start(self, side, *argv, **options):
        """Starts a program there."""
        process = Process(["ip", "netns", "exec", self.ns[side], *map(str, argv)], **options)
        process.name = os.path.basename(str(argv[0]))
        return process

    def pids(self, side="middle"):
        """Whoever runs there."""
        wanted = os.stat(f"/run/netns/{self.ns[side]}").st_ino
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError):
                    if os.stat(f"/proc/{name}/ns/net").st_ino == wanted:
                        found.append(int(name))
        return found

    def received(self, side="server"):
        """Octets that its end of the wire has received."""
        return int(self.exec(side, "cat", "/sys/class/net/eth0/statistics/rx_bytes"))
