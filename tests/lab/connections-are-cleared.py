"""clear conn ends connections that are under way, and only those that are meant: both ends see a reset. packet-tracer foretells what
becomes of a connection, and so it comes."""

import re
import socket
import threading
import time

import consoles
from lab import INSIDE, OUTSIDE, VECTOR, Client, Server, a_message, at_end, check, check_that, done, guard, lab, on, stuffed, wait_for


class Host:
    """A mail host that takes one message, slowly enough to be ended in the middle, and says how its connection ended."""

    def __init__(self, family, port=25):
        kind = socket.AF_INET6 if family == "IPv6" else socket.AF_INET
        with on("inside"):
            self.listener = socket.socket(kind)
        if family == "IPv6":
            self.listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("", port))
        self.listener.listen()
        self.outcome, self.octets = None, 0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        at_end(self.listener.close)

    def _run(self):
        connection, _ = self.listener.accept()
        self.listener.close()
        connection.settimeout(30)
        try:
            with connection, connection.makefile("rb", 0) as file:
                connection.sendall(b"220 mail.example.com ESMTP\r\n")
                for reply in (b"250 hello\r\n", b"250 sender\r\n", b"250 recipient\r\n", b"354 go ahead\r\n"):
                    file.readline()
                    connection.sendall(reply)
                while octets := connection.recv(65536):
                    self.octets += len(octets)
            self.outcome = "closed"
        except OSError as why:
            self.outcome = type(why).__name__


class Sender(threading.Thread):
    """Sends a message without end, until it is reset."""

    def __init__(self, family):
        super().__init__(daemon=True)
        self.client = Client(INSIDE[family], timeout=30)
        self.client.reply()
        for line in ("HELO client", "MAIL FROM:<a@outside.example>", "RCPT TO:<b@inside.example>", "DATA"):
            self.client.say(line)
        self.outcome = None
        self.start()

    def run(self):
        part = stuffed(a_message(20_000))[:-3]
        try:
            while True:
                self.client.socket.sendall(part)
                time.sleep(0.005)
        except OSError as why:
            self.outcome = type(why).__name__


def under_way(family):
    host = Host(family)
    sender = Sender(family)
    wait_for(f"{family}: mail data flows", lambda: host.octets > 100_000)
    return host, sender


def goes_on(title, host):
    before = host.octets
    wait_for(f"{title} goes on", lambda: host.octets > before + 50_000)
    check(f"{title} goes on", host.outcome, None)


def was_reset(title, host, sender):
    """Both ends were told. A kernel says EPIPE to who writes behind a reset that it has been told of."""
    wait_for(f"{title}: both ends end", lambda: host.outcome and sender.outcome)
    check(f"{title}: the server sees a reset", host.outcome, "ConnectionResetError")
    check_that(f"{title}: the client sees a reset", sender.outcome in ("ConnectionResetError", "BrokenPipeError"), sender.outcome)


def in_use(said):
    return int(re.search(r"(\d+) in use", said).group(1))


guard("asa94")
consoles.enabled("configure terminal", "logging enable", "logging buffered informational")
four, six = under_way("IPv4"), under_way("IPv6")
said = consoles.enabled("show conn")
check("show conn has both", (in_use(said), len(re.findall(rf"TCP outside  \[?{OUTSIDE['IPv6']}\]?:\d+ inside ", said))), (2, 1))
check("none is meant", re.findall(r"\d+ connection", consoles.enabled("clear conn port 26", "clear conn address 192.0.2.99")),
      ["0 connection", "0 connection"])
goes_on("IPv4", four[0])
goes_on("IPv6", six[0])
check("one is meant", re.findall(r"\d+ connection", consoles.enabled(f"clear conn address {OUTSIDE['IPv4']}")), ["1 connection"])
was_reset("IPv4", *four)
goes_on("IPv6", six[0])
check("one is left", in_use(consoles.enabled("show conn")), 1)
check("the rest", re.findall(r"\d+ connection", consoles.enabled("clear conn")), ["1 connection"])
was_reset("IPv6", *six)
said = consoles.enabled("show conn", "show logging")
check("none is left", in_use(said), 0)
check("each end is told", len(re.findall(r"%ASA-6-302014: Teardown TCP connection \d .* Xlate Clear", said)), 2)
with Server(), Client(INSIDE["IPv4"]) as client:
    check("the next one is served", client.reply()[:3], b"220")

# packet-tracer says what will be, and so it is.
PORTS = (25, 2525)
lab("guard", "start", "--personality", "mailguard", "--port", "25,2525")
for lines, inspected in (((), (25, 2525)), (("no fixup protocol smtp 2525",), (25,)), (("no fixup protocol smtp 25",), ())):
    if lines:
        consoles.enabled("configure terminal", *lines)
    for port in PORTS:
        said = consoles.enabled(f"packet-tracer input outside tcp {OUTSIDE['IPv4']} 40000 {INSIDE['IPv4']} {port}",
                                f"packet-tracer input outside tcp {OUTSIDE['IPv6']} 40000 {INSIDE['IPv6']} {port} detailed")
        foretold = said.count("fixup-smtp, personality mailguard")
        check(f"{port} behind {lines}: both families are told the same, and pass",
              (foretold, said.count(f"port {port} is not inspected: relayed as it is"), said.count("Action: allow")),
              (2, 0, 2) if port in inspected else (0, 2, 2))
        with Server(port=port):
            for family, address in INSIDE.items():
                with Client(address, port=port) as client:
                    check(f"{family}, {port}: it came so", client.reply() != VECTOR, foretold == 2)
said = consoles.enabled(f"packet-tracer input dmz tcp {OUTSIDE['IPv4']} 40000 {INSIDE['IPv4']} 25",
                        f"packet-tracer input outside tcp {OUTSIDE['IPv6']} 40000 {INSIDE['IPv4']} 25")
check("what cannot be is dropped", (said.count("Action: drop"), "Action: allow" in said), (2, False))
done()
