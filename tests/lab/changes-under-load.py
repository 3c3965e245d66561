"""Thousands of changes of policy under full load, in one console session: no connection that is open loses an octet, none is
reset, no packet is dropped for it, and who was there before keeps what he had."""

import json
import os
import re
import signal
import subprocess
import threading
import time

from lab import (INSIDE, MAILGUARD, REFUSED, ROOT, Client, Server, a_message, check, check_that, done,
                 forget_connections, lab, read, run, sha256, start, stuffed, temp_dir, wait_for)

# Enough to take some seconds.
ROUNDS = 1000
BEGIN = "enable\n\nconfigure terminal\n"
# Each line of it changes the policy in force.
CHANGES = """\
no fixup protocol smtp 25
fixup protocol smtp 587
no fixup protocol smtp 587
fixup protocol smtp 25
knob refusal x-verb
no knob refusal
policy-map type inspect esmtp strict
match body length gt 400000000
drop-connection log
exit
parameters
no mask-banner
mask-banner
allow-tls
no allow-tls
exit
no match body length gt 400000000
exit
personality pix6x
no fixup protocol smtp 25
fixup protocol smtp 25
timeout conn 0:05:00 half-closed 0:01:00 embryonic 0:00:20
personality pix40
personality asa94
policy-map global_policy
class inspection_default
no inspect esmtp
inspect esmtp
exit
exit
personality mailguard
timeout conn 1:00:00 half-closed 0:10:00 embryonic 0:00:30
sysopt connection tcpmss 1300
no sysopt connection tcpmss
"""
MOVES = ("exit", "policy-map", "parameters", "class ")
# What a change must not cause, in the words of the counters.
HARM = ("tcp-not-syn", "flow-ended-by-inspection", "tcp-out-of-window", "tcp-invalid-ack", "tcp-bad-handshake", "tcp-data-after-fin",
        "wrong-leg", "belt-full", "leg-full", "flow-panics", "flows-timed-out", "inspection-resets", "inconsistent-retransmissions")
MESSAGE = a_message(8_000_000)


def console(script):
    """A script at the console."""
    return subprocess.run([os.path.join(ROOT, "netns", "lab"), "console"], input=script, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)


def counters():
    """What show counters says."""
    said = console("enable\n\nshow counters\n").stdout
    return {name: int(value) for name, value in re.findall(r"^\s*(\S+)\s+(\d+)$", said, re.M)}


class Load(threading.Thread):
    """One load after the other until it is told to end; new connections all the time."""

    def __init__(self):
        super().__init__()
        self.ends, self.rounds, self.failed = threading.Event(), 0, []

    def run(self):
        while not self.ends.is_set():
            ran = run("outside", MAILGUARD, "load", f"{INSIDE['IPv4']}:25", "--connections", "40", "--messages", "4",
                      "--size", "20K", "--count", "400", "--json")
            self.rounds += 1
            if ran.returncode != 0:
                self.failed.append(ran.stdout[-800:])


class LongMail(threading.Thread):
    """One mail whose data flow from before the first change until after the last."""

    def __init__(self):
        super().__init__()
        self.flows, self.ends, self.said, self.sent = threading.Event(), threading.Event(), None, 0

    def run(self):
        octets = stuffed(MESSAGE)
        with Client(INSIDE["IPv6"], timeout=60) as client:
            client.reply()
            for line in ("HELO client", "MAIL FROM:<a@outside.example>", "RCPT TO:<b@inside.example>", "DATA"):
                client.say(line)
            at = 0
            while at < len(octets):
                # The last half waits for the end of the changes.
                if at < len(octets) // 2 or self.ends.is_set():
                    more = octets[at:at + 20_000]
                    time.sleep(0.01)
                else:
                    more = octets[at:at + 1]
                    time.sleep(0.002)
                client.send(more)
                at += len(more)
                self.flows.set()
            self.said = client.reply()
            client.say("QUIT")


where = temp_dir()
path = f"{where}/startup"
with open(path, "w") as file:
    file.write("personality mailguard\npolicy-map type inspect esmtp strict\n parameters\n  mask-banner\n"
               "class-map mail\n match port tcp eq 25\npolicy-map of_mine\n class mail\n  inspect esmtp strict\n")
forget_connections()
lab("guard", "start", "--config", path)
sink = start("inside", MAILGUARD, "sink", "--listen", "0.0.0.0:25", "--expect-load", "--json", log=f"{where}/sink")
wait_for("the sink", lambda: run("inside", "ss", "-Hltn", "sport = :25").stdout)
with Server(families=("IPv6",)) as server, Client(INSIDE["IPv6"], timeout=30) as guarded:
    check_that("one who is there before is guarded", b"**" in guarded.reply() and guarded.say("EHLO a") == REFUSED)
    said = console(BEGIN + "no fixup protocol smtp 25\n")
    check("it is switched off", said.returncode, 0)
    with Client(INSIDE["IPv6"], timeout=30) as free:
        check_that("one who comes then is not", b"ESMTP" in free.reply() and free.say("EHLO b")[:3] == b"250")
        check("it is switched on", console(BEGIN + "fixup protocol smtp 25\n").returncode, 0)
        load, mail = Load(), LongMail()
        load.start()
        mail.start()
        mail.flows.wait(30)
        before = counters()
        since = time.monotonic()
        ran = console(BEGIN + CHANGES * ROUNDS)
        took = time.monotonic() - since
        mail.ends.set()
        load.ends.set()
        check("no line was refused", (ran.returncode, ran.stdout[-800:] if ran.returncode else ""), (0, ""))
        changes = ROUNDS * sum(not line.startswith(MOVES) for line in CHANGES.splitlines())
        print(f"    {changes} changes in {took:.1f} s: {changes / took:.0f} a second", flush=True)
        check_that("the long mail was under way all the time", mail.said is None)
        load.join()
        mail.join()
        check_that("who was guarded still is", guarded.say("EHLO a") == REFUSED)
        check("who was not still is not", free.say("EHLO b")[:3], b"250")
    check("the long mail is accepted", mail.said, b"250 message accepted\r\n")
    check("and whole", server.digests, [sha256(MESSAGE)])
check("loads that failed", load.failed, [])
after = counters()
check("harm", {name: after.get(name, 0) - before.get(name, 0) for name in HARM}, dict.fromkeys(HARM, 0))
print("    counters:", {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)})
sink.send_signal(signal.SIGTERM)
sink.wait(10)
said = read(f"{where}/sink")
totals = json.loads(said[said.index("{"):])
check("messages that arrived", totals["messages"], 400 * load.rounds)
check("of them checked", totals["checked"], 400 * load.rounds)
check("of them changed", totals["check_failures"], 0)
done()
