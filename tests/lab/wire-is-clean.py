"""tshark on both wires while mail with refused commands goes through, every sum and cut real: no bad
checksum, no malformed packet, no acknowledgement of octets that were never seen."""

import os
import re
import shutil
import signal
import subprocess

import lab
from lab import (FAMILIES, INSIDE, REFUSED, Client, Server, a_message, check, check_that, done, guard,
                 send_mail, temp_dir, wait_for)

WIRES = ("wire-outside", "wire-inside")
CHECKS = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE",
          "-o", "tcp.analyze_sequence_numbers:TRUE"]
# Of a connection that has begun in the capture: a server of an earlier test may still repeat a FIN, and is told.
BEGUN = "tcp.completeness & 1"
FAULTS = {
    # The kernel writes a sum of zero as 0xffff, which every receiver takes for the same (ones'
    # complement, RFC 1624); tshark calls it bad, and says that it is of this kind.
    "bad TCP checksums": 'tcp.checksum.status == "Bad" && !tcp.checksum.ffff',
    "bad IP checksums": 'ip.checksum.status == "Bad"',
    "malformed packets": "_ws.malformed",
    "acknowledgements of unseen octets": "tcp.analysis.ack_lost_segment",
    # No packet is lost here, so nothing needs repeating, and no number may jump.
    "segments that leave a gap": "tcp.analysis.lost_segment",
    "resets": f"tcp.flags.reset == 1 && {BEGUN}",
}

if not shutil.which("tshark") or not shutil.which("dumpcap"):
    raise RuntimeError("tshark is missing; run scripts/setup")


def count(capture, what):
    """How many packets of the capture match, and the first few in words."""
    ran = subprocess.run(["tshark", "-n", *CHECKS, "-r", capture, "-Y", what], text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if ran.returncode != 0:
        raise RuntimeError(f"tshark {what}: {ran.stderr}")
    lines = ran.stdout.splitlines()
    return len(lines), "\n".join(lines[:5])


def refusals(family, server):
    """Sessions of every kind that changes a length."""
    with Client(INSIDE[family]) as client:
        client.reply()
        for line in ("x", "EHLO client", "goodmorning to all of you", "VRFY bob"):
            check(f"{family}: {line} is refused", client.say(line), REFUSED)
        check(f"{family}: mail", send_mail(client, a_message(300_000)), b"250 message accepted\r\n")
    with Client(INSIDE[family], by_octet=True) as client:
        client.reply()
        client.say("HELP")
        client.say("RSETX")
        client.say("QUIT")
    with Client(INSIDE[family]) as client:
        client.reply()
        client.send(b"HELO client\r\n" + b"EXPN staff\r\nNOOP\r\n" * 100 + b"QUIT\r\n")
        replies = [client.reply() for _ in range(202)]
        check(f"{family}: a hundred refusals in one go", replies.count(REFUSED), 100)


# On two processors the kernel itself puts the packets of one sender out of order now and then: each
# processor has a queue of its own behind a veth.
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
lab.lab("offloads", "off")
guard()
where = temp_dir()
captures = {}
os.chmod(where, 0o755)
for wire in WIRES:
    path = f"{where}/{wire}.pcapng"
    log = f"{where}/{wire}.log"
    captures[wire] = (path, log, lab.start("guard", "dumpcap", "-q", "-B", "64", "-s", "0", "-i", wire,
                                           "-f", "tcp port 25", "-w", path, log=log))
for path, log, _ in captures.values():
    wait_for("the capture", lambda p=path: os.path.exists(p) and os.path.getsize(p) > 0)
with Server() as server:
    for family in FAMILIES:
        refusals(family, server)
lab.run("guard", "sleep", "0.5")
for wire, (path, log, capture) in captures.items():
    capture.send_signal(signal.SIGINT)
    capture.wait(10)
    said = lab.read(log)
    lost = re.search(r"dropped on interface[^:]*: \d+/(\d+)", said)
    check_that(f"{wire}: the capture is complete", lost is not None and lost.group(1) == "0", said)
    packets, _ = count(path, "tcp.port == 25")
    check_that(f"{wire}: it has the sessions in it", packets > 500, f"{packets} packets")
    fins, _ = count(path, f"tcp.flags.fin == 1 && {BEGUN}")
    check_that(f"{wire}: and their ends", fins >= 2 * 3 * len(FAMILIES), f"{fins} FINs")
    for what, pattern in FAULTS.items():
        number, first = count(path, pattern)
        check_that(f"{wire}: {packets} packets, {what}: {number}", number == 0, "\n" + first)
done()
