"""CSCds90792 as real mail servers meet it. Postfix and Exim put the end of mail data where a packet ends; when that
falls between the dot and CRLF a PIX loses it: they wait, give up and try again. Postfix's own way past it is the end in a
packet of its own, which OpenSMTPD sends anyway and sendmail at some sizes: mail from some fails, from others not."""

import contextlib
import re
import socket
import threading

import jail
from lab import FAMILIES, INSIDE, Server, at_end, check, check_that, done, guard, lab, on, wait_for

HEAD = (b"From: <alice@outside.example>\r\nTo: <bob@inside.example>\r\nSubject: a\r\n"
        b"Message-ID: <1@outside.example>\r\nDate: Tue, 25 Nov 2025 12:00:00 +0000\r\n\r\n")
# Impatient, and eager to try again.
POSTFIX = ("smtp_data_done_timeout = 2s", "minimal_backoff_time = 1s", "maximal_backoff_time = 1s", "queue_run_delay = 1s")
GIVES_UP = "timed out while sending end of data -- message may be sent more than once"


class Ear:
    """Hears what the client sends to port 25, segment by segment, where it comes in."""

    def __init__(self):
        with on("guard"):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.bind(("wire-outside", 0))
        self.segments = []
        at_end(self.socket.close)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        with contextlib.suppress(OSError):
            while True:
                frame, origin = self.socket.recvfrom(70_000)
                if origin[2] == socket.PACKET_OUTGOING:
                    continue
                if frame[12:14] == b"\x08\x00" and frame[23] == 6:
                    packet = frame[14 + (frame[14] & 15) * 4:14 + int.from_bytes(frame[16:18], "big")]
                elif frame[12:14] == b"\x86\xdd" and frame[20] == 6:
                    packet = frame[54:54 + int.from_bytes(frame[18:20], "big")]
                else:
                    continue
                payload = packet[(packet[12] >> 4) * 4:]
                if packet[2:4] == b"\x00\x19" and payload:
                    self.segments.append(payload)

    def mail_data(self):
        """The segments of the last mail's data."""
        begins = max((at for at, payload in enumerate(self.segments) if payload == b"DATA\r\n"), default=0)
        return [payload for payload in self.segments[begins + 1:] if payload != b"QUIT\r\n"]

    def is_split(self):
        """Whether a segment ended between the dot and CRLF."""
        return any(payload.endswith(b"\r\n.") for payload in self.mail_data())

    def is_apart(self):
        """Whether the dot and CRLF made a segment of their own."""
        return b".\r\n" in self.mail_data()


def a_mail(octets):
    """One with a body of so many octets."""
    lines, rest = divmod(octets, 72)
    return HEAD + (b"x" * 70 + b"\r\n") * (lines - 1) + b"x" * (70 + rest) + b"\r\n"


def submit_split(client, ear, server, octets=2000):
    """Submits a mail whose end is split. Where that is so depends on the headers that the client adds and on the
    segments that TCP makes, so it takes more than one attempt; returns the octets that did it."""
    for _ in range(4):
        server.forget()
        ear.segments.clear()
        client.submit(a_mail(octets))
        wait_for("the end of the mail", lambda: ear.is_split() or server.messages, 30)
        if ear.is_split():
            return octets
        last = next(payload for payload in ear.mail_data() if payload.endswith(b".\r\n"))
        octets -= len(last) - 2
    raise RuntimeError(f"no mail was split: {[len(payload) for payload in ear.mail_data()]}")


def pix6x_passes_it(client, ear, server, title):
    """As a reference; returns the octets that make for a split."""
    guard("pix6x")
    octets = submit_split(client, ear, server)
    wait_for("the mail", lambda: server.messages)
    check(f"{title}: through pix6x a split end arrives", len(server.messages), 1)
    return octets


def others_do_not(make, personalities, gave_up, ear, server):
    """Through a PIX 6.x what is split arrives, through those before it does not."""
    for number, personality in enumerate(personalities):
        family = FAMILIES[number % 2]
        client = make(family)
        title = f"{client.package}, {family}"
        octets = pix6x_passes_it(client, ear, server, title)
        guard(personality)
        before = len(client.said())
        submit_split(client, ear, server, octets)
        wait_for("the client to give up", lambda: re.search(gave_up, client.said()[before:]), 30)
        check(f"{title}: through {personality} it does not", server.messages, [])
        client.stop()


def postfix_again_and_again(ear, server, family):
    """The other half of it: the end passes, its reply does not. A mail is sent, and arrives, again and again."""
    client = jail.Postfix("outside", relay=INSIDE[family], extra=(*POSTFIX, "smtp_pix_workarounds =")).start()
    guard("pix44", "--set", "split-end=withhold-reply")
    submit_split(client, ear, server)
    wait_for("three copies", lambda: len(server.digests) >= 3, 60)
    check(f"Postfix, {family}: one mail, three times", len(set(server.digests)), 1)
    client.stop()


def postfix_knows_a_way(ear, server):
    """delay_dotcrlf, which Postfix begins with when a mail has waited for some time."""
    extra = (*POSTFIX, "smtp_pix_workaround_threshold_time = 2s", "smtp_pix_workaround_delay_time = 1s")
    for family in FAMILIES:
        client = jail.Postfix("outside", relay=INSIDE[family], extra=extra).start()
        octets = pix6x_passes_it(client, ear, server, f"Postfix, {family}")
        guard("pix44")
        before = len(client.said())
        submit_split(client, ear, server, octets)
        wait_for("Postfix to be done with it", lambda: "status=sent" in client.said()[before:], 30)
        first, _, later = client.said()[before:].rpartition(GIVES_UP)
        check_that(f"Postfix, {family}: at first it gives up", "disable_esmtp for" in first, first[-2000:])
        check_that(f"Postfix, {family}: then it sends the end apart", "disable_esmtp delay_dotcrlf for" in later)
        check_that(f"Postfix, {family}: which is seen on the wire", ear.is_apart())
        check(f"Postfix, {family}: and it arrives", len(server.messages), 1)
        client.stop()


def always_apart(ear, server):
    """Who sends the end apart is not concerned."""
    guard("pix44")
    for client_class in (jail.OpenSmtpd, jail.Sendmail):
        for family in FAMILIES:
            client = client_class("outside", relay=INSIDE[family]).start()
            server.forget()
            ear.segments.clear()
            client.submit(a_mail(2000))
            wait_for("the mail", lambda: server.messages)
            check_that(f"{client.package}, {family}: through pix44 it arrives, for its end is apart", ear.is_apart())
            client.stop()


lab("offloads", "off")  # or what is one packet here would be several on a wire
wire = Ear()
with Server(greeting=b"220 mail.example.com ESMTP\r\n") as scripted:
    others_do_not(lambda family: jail.Postfix("outside", relay=INSIDE[family],
                                              extra=(*POSTFIX, "smtp_pix_workarounds =")).start(),
                  ("pix42", "pix44", "pix5x"), r"status=deferred \(.*" + GIVES_UP, wire, scripted)
    others_do_not(lambda family: jail.Exim("outside", relay=INSIDE[family], smtp=("final_timeout = 2s",)).start(),
                  ("pix44", "pix44"), "SMTP timeout after end of data", wire, scripted)
    postfix_again_and_again(wire, scripted, "IPv6")
    postfix_knows_a_way(wire, scripted)
    always_apart(wire, scripted)
done()
