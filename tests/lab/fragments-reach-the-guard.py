"""Fragments that nobody puts together before the guard: mail flows over them, and overlaps never show the
server what it must not see."""

import time

from lab import (FAMILIES, OUTSIDE, Server, at_end, check, check_that, done, guard, lab, run)
from raw import HandMade, no_resets

MESSAGE = b"Subject: in fragments\r\n\r\n" + b"EHLO in the mail\r\n" * 40 + b".\r\n"


def steer_all():
    """The kernel puts nothing together any more, and all TCP of the client goes to the guard: a later fragment
    has no port to choose by."""
    ruleset = run("guard", "nft", "list", "table", "inet", "defragment", check=True).stdout
    run("guard", "nft", "delete", "table", "inet", "defragment", check=True)
    at_end(lambda: run("guard", "nft", "-f", "-", input=ruleset))
    for family in FAMILIES:
        rule = ["-4" if family == "IPv4" else "-6", "rule"], ["pref", "90", "iif", "wire-outside", "from",
                                                              OUTSIDE[family], "ipproto", "tcp", "lookup", "101"]
        run("guard", "ip", *rule[0], "add", *rule[1], check=True)
        at_end(lambda rule=rule: run("guard", "ip", *rule[0], "del", *rule[1]))


class Cut(HandMade):
    """A client whose segments come in fragments, by turns in order, backwards and shuffled."""

    turn = 0

    def say(self, octets, size=24):
        """Sends a segment in fragments and reads what comes back, to the end of a line."""
        parts = self.pieces(self.segment(24, octets), size)
        self.turn += 1
        order = (parts, parts[::-1], parts[1:] + parts[:1])[self.turn % 3]
        self.fragments(*order)
        self.seq += len(octets)
        return self.line()

    def line(self):
        """One line of the server."""
        got = b""
        while not got.endswith(b"\r\n"):
            heard = self.hear()
            if heard is None:
                break
            got += heard[1]
        self.send(16)
        return got


def counters():
    """What the guard has counted so far."""
    said = run("guard", "kill", "-USR1", lab("guard", "pid").strip())
    time.sleep(0.3)
    lines = lab("guard", "log").split("Totals:")[-1].splitlines()
    return said and {w[0]: int(w[1]) for w in map(str.split, lines) if len(w) == 2 and w[1].isdigit()}


no_resets()
for workers in (1, 3):
    guard("mailguard", "--workers", str(workers))
    steer_all() if workers == 1 else None
    with Server() as server:
        for family in FAMILIES:
            server.forget()
            what = f"{workers} workers, {family}"
            client = Cut(family, 25)
            check(f"{what}: it is connected, by a SYN in fragments if IPv4", client.open(cut=24 if family == "IPv4" else 0), True)
            check_that(f"{what}: the greeting is masked", client.line().startswith(b"220 *"))
            for line, reply in (
                (b"EHLO client, a name of some length to be cut\r\n", b"500 Command unrecognized\r\n"),
                (b"HELO client\r\n", b"250 mail.example.com Hello\r\n"),
                (b"MAIL FROM:<alice@outside.example>\r\n", b"250 sender ok\r\n"),
                (b"RCPT TO:<bob@inside.example>\r\n", b"250 recipient ok\r\n"),
                (b"x\r\n", b"500 Command unrecognized\r\n"),
                (b"DATA\r\n", b"354 go ahead\r\n"),
                (MESSAGE, b"250 message accepted\r\n"),
            ):
                check(f"{what}: {line[:12]!r} in fragments is answered", client.say(line), reply)
            check(f"{what}: the message", server.messages, [MESSAGE[:-3]])

            # A harmless segment, and a piece that would make it harmful if it counted.
            good, evil = client.segment(24, b"NOOP        \r\n"), client.segment(24, b"EXPN staff  \r\n")
            before, reached = counters(), list(server.transcript)
            for parts in (
                ((0, good[:24], True), (16, evil[16:], False)),
                ((16, evil[16:], False), (0, good[:24], True)),
                ((0, good[:24], True), (0, evil[:24], True), (24, good[24:], False)),
                ((24, evil[24:], False), (24, good[24:], False), (0, good[:24], True)),
                ((0, good[:24], True), (24, good[24:32], True), (24, evil[24:32], True), (32, good[32:], False)),
            ):
                client.fragments(*parts)
            time.sleep(0.5)
            check(f"{what}: nothing of overlapping fragments reached the server", server.transcript, reached)
            after = counters()
            check(f"{what}: every fragment of them is counted",
                  after["ip-fragment-overlap"] - before["ip-fragment-overlap"], 14)
            check(f"{what}: the session goes on", client.say(b"QUIT\r\n"), b"221 bye\r\n")
            check_that(f"{what}: the guard did put them together", after["ip-datagrams-reassembled"] > 5, str(after))
done()
