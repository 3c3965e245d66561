"""What the lab tests share: the namespaces, the guard, a scripted SMTP client and server, checks.

A test is a script beside this file, named after the situation that it shows. It imports this module,
calls `check` as often as it likes and ends with `done()`. `tests/lab/run` raises the lab and runs
them; nothing here is made of mailguard, so that the judge is not made of what is judged.
"""

import contextlib
import ctypes
import hashlib
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PREFIX = os.environ.get("MAILGUARD_LAB", "mglab")
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
MAILGUARD = os.environ.get("MAILGUARD", os.path.join(TARGET, "release", "mailguard"))

# The guard bridges the two wires instead of routing between two legs of its own.
IS_BRIDGE = os.environ.get("MAILGUARD_LAB_DEVICE") == "bridge"
WIRES = ("wire-outside", "wire-inside")
LEGS = WIRES if IS_BRIDGE else ("mg-outside", "mg-inside")
# The last of the counters that the guard prints.
LAST_COUNTER = "ring-full"

# The mail host inside and the host outside, in both families.
INSIDE = {"IPv4": "198.51.100.10", "IPv6": "2001:db8:2::10"}
OUTSIDE = {"IPv4": "192.0.2.10", "IPv6": "2001:db8:1::10"}
FAMILIES = list(INSIDE)

REFUSED = b"500 Command unrecognized\r\n"
VECTOR = (
    b"220 mail.example.com Microsoft ESMTP MAIL Service, Version: 6.0.3790.3959 "
    b"ready at  Tue, 12 Jun 2007 10:20:30 -0400\r\n"
)

# --- verdicts ---------------------------------------------------------------------------------------

_failures = []


def fail(what):
    """Records a failure and goes on."""
    _failures.append(what)
    print(f"FAILED: {what}", flush=True)


def check(what, got, want):
    """Both must be equal."""
    if got == want:
        print(f"  ok: {what}", flush=True)
        return True
    fail(f"{what}\n    wanted: {want!r}\n    got:    {got!r}")
    return False


def check_that(what, truth, why=""):
    """It must be so."""
    if truth:
        print(f"  ok: {what}", flush=True)
        return True
    fail(f"{what} {why}".rstrip())
    return False


def skip(why):
    """Ends the test as skipped, or as failed if a check before did."""
    print(f"SKIPPED: {why}", flush=True)
    _clean_up()
    sys.stdout.flush()
    os._exit(1 if _failures else 77)


def done():
    """Ends the test."""
    _clean_up()
    sys.stdout.flush()
    os._exit(1 if _failures else 0)


def _excepthook(kind, value, trace):
    traceback.print_exception(kind, value, trace)
    sys.stderr.flush()
    _clean_up()
    sys.stdout.flush()
    os._exit(1)


sys.excepthook = _excepthook
_at_end = []


def at_end(action):
    """Does it when the test ends, however it ends; last registered, first done."""
    _at_end.append(action)


def _clean_up():
    while _at_end:
        with contextlib.suppress(Exception):
            _at_end.pop()()


def temp_dir():
    """A directory that goes with the test."""
    path = tempfile.mkdtemp(prefix="mailguard-test.")
    at_end(lambda: shutil.rmtree(path, ignore_errors=True))
    return path


def wait_for(what, condition, seconds=10.0, pause=0.05):
    """Waits until it is so and returns what the condition returned; failing is an error."""
    end = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s in vain: {what}")
        time.sleep(pause)


# --- the lab ----------------------------------------------------------------------------------------


def lab(*words, check_status=True):
    """Runs a verb of netns/lab and returns what it printed."""
    ran = subprocess.run(
        [os.path.join(ROOT, "netns", "lab"), *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
    )
    if check_status and ran.returncode != 0:
        raise RuntimeError(f"netns/lab {' '.join(map(str, words))}: {ran.stdout.strip()}")
    return ran.stdout


def guard(personality="mailguard", *options):
    """Starts the guard (anew) with that personality. What only a guard between legs can do is skipped on a bridge."""
    for option in ("--fail-open", "--no-offload", "--no-io-uring"):
        if IS_BRIDGE and option in options:
            skip(f"a bridge has no {option}: what comes after is not tested")
    lab("guard", "start", "--personality", personality, *options)


def guard_pid():
    """The pid of the running guard, or None."""
    said = lab("guard", "pid", check_status=False).strip()
    return int(said) if said.isdigit() else None


def guard_rss():
    """Its resident memory in KiB."""
    with open(f"/proc/{guard_pid()}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))


_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


def _set_netns(fd):
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def on(side):
    """Sockets made by this thread in the meantime belong to the namespace of that side."""
    back = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{PREFIX}-{side}", os.O_RDONLY)
    try:
        _set_netns(there)
        yield
    finally:
        _set_netns(back)
        os.close(there)
        os.close(back)


def command(side, argv):
    """The command line that runs argv in the namespace of a side."""
    return ["ip", "netns", "exec", f"{PREFIX}-{side}", *map(str, argv)]


def forget_connections():
    """Ends what tests before have left open: its repeats would come to the next guard as a stranger's."""
    for side in ("outside", "inside"):
        run(side, "ss", "-K", "-H", "-t", "state", "connected", "exclude", "time-wait")


def run(side, *argv, **options):
    """Runs a program in the namespace of a side and returns the finished process."""
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.STDOUT)
    options.setdefault("text", True)
    if "input" not in options:
        options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run(command(side, argv), **options)


def start(side, *argv, log=None, **options):
    """Starts a program in the namespace of a side; it is ended with the test."""
    out = open(log, "ab") if log else subprocess.DEVNULL
    process = subprocess.Popen(
        command(side, argv), stdout=out, stderr=out, stdin=subprocess.DEVNULL,
        start_new_session=True, **options,
    )
    at_end(lambda: stop(process))
    return process


def stop(process, seconds=5):
    """Ends a started program and its process group."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait()


def read(path):
    """The text of a file; empty if it is not there."""
    with contextlib.suppress(FileNotFoundError), open(path, errors="replace") as file:
        return file.read()
    return ""


def whole_lines(path):
    """The lines of a file that another writes: what follows the last line end is not written whole yet."""
    return read(path).split("\n")[:-1]


# --- a scripted client ------------------------------------------------------------------------------


class Client:
    """One SMTP connection, as a person with telnet would type it."""

    def __init__(self, address, side="outside", port=25, by_octet=False, timeout=15):
        self.by_octet = by_octet
        self.heard = b""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with on(side):
            self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect((address, port))
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, octets):
        """Sends as they are; with by_octet every octet in a packet of its own."""
        if not self.by_octet:
            self.socket.sendall(octets)
            return
        for octet in octets:
            self.socket.sendall(bytes([octet]))
            time.sleep(0.002)  # or the kernel would put several into one segment

    def reply(self):
        """One reply, all its lines, as they came."""
        whole = b""
        while True:
            line = self.file.readline()
            self.heard += line
            whole += line
            if not line.endswith(b"\n"):
                raise ConnectionError(f"the reply ends early: {whole!r}")
            if line[3:4] != b"-":
                return whole

    def say(self, line):
        """Types a line and reads the reply."""
        self.send(line.encode() + b"\r\n" if isinstance(line, str) else line)
        return self.reply()

    def rest(self):
        """All that comes until the other end closes."""
        got = self.file.read()
        self.heard += got
        return got


# --- a scripted server ------------------------------------------------------------------------------


class Server:
    """A mail host that writes down every line that reaches it and keeps every message.

    transcript: what came as commands, in order, without line ends; messages: what came as mail data,
    dots still stuffed, without the final dot; connections: a list of transcripts, one each.
    """

    def __init__(self, side="inside", greeting=VECTOR, port=25, keywords=(b"PIPELINING", b"VRFY"),
                 unknown=None, families=("IPv4", "IPv6")):
        self.greeting = greeting
        self.unknown = unknown  # its reply to what it does not know
        self.keywords = keywords
        self.transcript = []
        self.messages = []
        self.digests = []
        self.connections = []
        self.keep_messages = True
        self.sockets = []
        with on(side):
            for name, family, address in (("IPv4", socket.AF_INET, "0.0.0.0"), ("IPv6", socket.AF_INET6, "::")):
                if name not in families:
                    continue
                listener = socket.socket(family, socket.SOCK_STREAM)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((address, port))
                listener.listen(1024)
                self.sockets.append(listener)
                threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        at_end(self.close)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for listener in self.sockets:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def forget(self):
        """Begins a new transcript."""
        self.transcript = []
        self.messages = []
        self.digests = []
        self.connections = []

    def _accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(60)
        lines = []
        self.connections.append(lines)
        with contextlib.suppress(OSError), connection, connection.makefile("rb", 1 << 16) as file:
            connection.sendall(self.greeting)
            self._dialogue(connection, file, lines)

    def _dialogue(self, connection, file, lines):
        mail = rcpt = False
        while line := file.readline():
            text = line.rstrip(b"\r\n")
            lines.append(text)
            self.transcript.append(text)
            verb = text[:4].upper()
            if verb == b"EHLO":
                said = b"".join(b"250-" + k + b"\r\n" for k in (b"mail.example.com", *self.keywords))
                connection.sendall(said + b"250 HELP\r\n")
            elif verb == b"HELO":
                connection.sendall(b"250 mail.example.com Hello\r\n")
            elif verb == b"MAIL":
                mail = True
                connection.sendall(b"250 sender ok\r\n")
            elif verb == b"RCPT":
                rcpt = mail
                connection.sendall(b"250 recipient ok\r\n" if mail else b"503 need MAIL\r\n")
            elif verb == b"DATA" and rcpt:
                connection.sendall(b"354 go ahead\r\n")
                self._mail_data(file)
                mail = rcpt = False
                connection.sendall(b"250 message accepted\r\n")
            elif verb == b"DATA":
                connection.sendall(b"503 need RCPT\r\n")
            elif verb == b"RSET":
                mail = rcpt = False
                connection.sendall(b"250 reset\r\n")
            elif verb == b"NOOP":
                connection.sendall(b"250 nothing done\r\n")
            elif verb == b"QUIT":
                connection.sendall(b"221 bye\r\n")
                return
            else:
                connection.sendall(self.unknown or b'500 5.5.1 What is "' + text + b'"?\r\n')

    def _mail_data(self, file):
        digest = hashlib.sha256()
        kept = []
        while line := file.readline():
            if line == b".\r\n":
                self.digests.append(digest.hexdigest())
                self.messages.append(b"".join(kept))
                return
            if line.startswith(b"."):
                line = line[1:]
            digest.update(line)
            if self.keep_messages:
                kept.append(line)


def commands(transcript):
    """The transcript as text, the blanks that follow a traded command taken off."""
    return [line.decode("latin-1").rstrip(" ") for line in transcript]


# --- mail -------------------------------------------------------------------------------------------


def sha256(octets):
    return hashlib.sha256(octets).hexdigest()


def a_message(size, seed=1, line=76):
    """A message of about that many octets with traps for an inspector in it: lines that look like
    commands and replies, and lines that begin with dots."""
    rng = random.Random(seed)
    head = (
        b"From: <alice@outside.example>\r\nTo: <bob@inside.example>\r\n"
        b"Subject: a message\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n"
        b"EHLO inside the mail\r\ngoodmorning\r\n..two dots\r\n.one dot\r\n250 OK\r\nQUIT\r\n\r\n"
    )
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/. "
    # One block, repeated under a running number: 100 MB must not take a minute to make.
    block = [bytes(rng.choices(alphabet, k=line - 14)) + b"|\r\n" for _ in range(997)]
    lines = [head]
    octets = len(head)
    number = 0
    while octets < size:
        text = b"%010d " % number + block[number % 997]
        lines.append(text)
        octets += len(text)
        number += 1
    return b"".join(lines)


def stuffed(message):
    """The message as it goes over the wire, the final dot included."""
    if message.startswith(b"."):
        message = b"." + message
    return message.replace(b"\r\n.", b"\r\n..") + b".\r\n"


def send_mail(client, message, sender="alice@outside.example", recipient="bob@inside.example"):
    """HELO to QUIT; returns the reply to the mail data."""
    for line in ("HELO client", f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>"):
        said = client.say(line)
        if not said.startswith(b"250"):
            raise ConnectionError(f"{line}: {said!r}")
    said = client.say("DATA")
    if not said.startswith(b"354"):
        raise ConnectionError(f"DATA: {said!r}")
    client.socket.settimeout(300)
    client.socket.sendall(stuffed(message))
    accepted = client.reply()
    client.say("QUIT")
    return accepted
