"""--mss-max lowers the segment size in the SYNs of both ends: their kernels say so, and send no larger
segments. It raises none, and without it none is lowered."""

import re
import socket

from lab import (FAMILIES, INSIDE, Client, Server, a_message, check, check_that, done, guard, lab, run, sha256,
                 stuffed)

message = a_message(500_000)
PLAIN = {"IPv4": 1460, "IPv6": 1440}  # what fits into 1500 octets
TIMESTAMPS = 12  # octets of options in each segment: the kernel counts them off


def of_server(what):
    """What the kernel inside says of its one connection."""
    said = run("inside", "ss", "-Htin", "state", "established", "sport", "=", ":25").stdout
    return [int(number) for number in re.findall(rf"\b{what}:(\d+)", said)]


def session(title, family, most):
    """Mail passes, in segments of that size, headers aside."""
    with Client(INSIDE[family], timeout=60) as client:
        client.reply()
        ours = client.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        check(f"{title}, {family}: the client sends segments of", ours, most)
        check(f"{title}, {family}: the server sends segments of", of_server("mss"), [most])
        for line in ("HELO client", "MAIL FROM:<a@outside.example>", "RCPT TO:<b@inside.example>", "DATA"):
            client.say(line)
        client.send(stuffed(message))
        check(f"{title}, {family}: mail", client.reply(), b"250 message accepted\r\n")
        check(f"{title}, {family}: segments that came to the server", of_server("rcvmss"), [most])
        client.say("QUIT")


for options, most in (((), None), (("--mss-max", "1000"), 1000), (("--mss-max", "9000"), None)):
    title = " ".join(options) or "without --mss-max"
    guard("mailguard", *options)
    with Server() as server:
        for family in FAMILIES:
            session(title, family, (most or PLAIN[family]) - TIMESTAMPS)
        check(f"{title}: SHA-256", server.digests, [sha256(message)] * len(FAMILIES))
    said = re.search(r"tcp-mss-clamped +(\d+)", lab("guard", "stop"))
    check_that(f"{title}: it is counted", said and int(said.group(1)) == (4 if most else 0), said)
done()
