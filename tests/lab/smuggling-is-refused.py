"""SMTP smuggling (CVE-2023-51764, 51765, 51766): mail data with an end that some servers take for one and others do
not, and a second envelope behind it. Behind the personality modern exactly one message arrives, at real servers and
at one that ends mail data at everything. The sequences are the union of what the public tools send (smtpsmug and
the SMTP smuggling tools of SEC Consult)."""

import generations
import jail
from generations import counters
from lab import FAMILIES, INSIDE, Client, Server, a_message, check, check_that, done, guard, wait_for

SEQUENCES = {
    "LF . LF": b"\n.\n",
    "LF . CR": b"\n.\r",
    "CR . LF": b"\r.\n",
    "CR . CR": b"\r.\r",
    "LF . CRLF": b"\n.\r\n",
    "CR . CRLF": b"\r.\r\n",
    "CRLF . LF": b"\r\n.\n",
    "CRLF . CR": b"\r\n.\r",
    "CRLF NUL . CRLF": b"\r\n\0.\r\n",
    "CRLF . NUL CRLF": b"\r\n.\0\r\n",
    "CRLF . CR CRLF": b"\r\n.\r\r\n",
    "CR CRLF . CR CRLF": b"\r\r\n.\r\r\n",
}
STRICT = ("modern", "--set", "bare-line-ends=reset", "--set", "nul=reset")


class LaxServer(Server):
    """Every CR and every LF ends a line of mail data, NUL is nothing, and a line of one dot is the end."""

    def _mail_data(self, file):
        kept, line = b"", b""
        while octet := file.read(1):
            if octet not in b"\r\n":
                line += octet.replace(b"\0", b"")
                continue
            if line == b".":
                if octet == b"\r" and file.peek(1)[:1] == b"\n":
                    file.read(1)
                self.messages.append(kept)
                return
            kept, line = kept + line + octet, b""


def smuggle(family, sequence, number, hello="EHLO client"):
    """Sends a message with another one in it; the codes of the replies to all that comes behind DATA, and whether
    the connection was reset."""
    first = b"Subject: first\r\n\r\nthis is first %d." % number
    second = (b"MAIL FROM:<evil@outside.example>\r\nRCPT TO:<bob@inside.example>\r\nDATA\r\n"
              b"Subject: second\r\n\r\nthis is second %d.\r\n.\r\n" % number)
    with Client(INSIDE[family], timeout=30) as client:
        client.reply()
        generations.envelope(client, hello)
        try:
            client.send(first + sequence + second)
            # Whoever is still in the mail data says nothing before its real end.
            codes = [client.reply()[:3]]
            client.send(b"QUIT\r\n")
            codes += [line[:3] for line in client.rest().splitlines() if line[3:4] != b"-"]
        except ConnectionError:
            return [], True
    return codes, False


def texts(server):
    """The messages of a real server, as one text each."""
    return [head + b"\n\n" + body for head, body in server.mailbox()]


def real_servers():
    """Postfix, Exim and sendmail."""
    smuggled = []
    for server_class in (jail.Postfix, jail.Exim, jail.Sendmail):
        server = server_class("inside").start()
        guard("modern")
        for number, (name, sequence) in enumerate(SEQUENCES.items()):
            family = FAMILIES[number % 2]
            codes, _ = smuggle(family, sequence, number)
            check(f"{server.package}, {name}, {family}: one message is answered, and QUIT", codes, [b"250", b"221"])
        # Behind these another mail, and when that is there all that could have come has come.
        last = a_message(3000)
        with Client(INSIDE["IPv4"]) as client:
            client.reply()
            check(f"{server.package}: a mail behind them", generations.send_mail(client, last)[:3], b"250")
        check_that(f"{server.package}: arrives", jail.delivered(server, last))
        wait_for("all of them", lambda: len(server.mailbox()) >= len(SEQUENCES) + 1, 20)
        arrived = texts(server)
        check(f"{server.package}: messages", len(arrived), len(SEQUENCES) + 1)
        for number, name in enumerate(SEQUENCES):
            mine = [text for text in arrived if b"this is first %d." % number in text]
            check(f"{server.package}, {name}: messages", len(mine), 1)
            check_that(f"{server.package}, {name}: the other envelope is text in it",
                       len(mine) == 1 and b"RCPT TO:<bob@inside.example>" in mine[0]
                       and b"this is second %d." % number in mine[0])
        check_that(f"{server.package}: the guard made spaces", counters()["stray-octets-blanked"] >= len(SEQUENCES))
        # `.` CRLF as the first octets of mail data is its end (RFC 5321 section 4.1.1.4).
        with Client(INSIDE["IPv6"]) as client:
            client.reply()
            generations.envelope(client, "EHLO client")
            check(f"{server.package}: mail data that ends at once", client.say(".")[:1] in (b"2", b"5"), True)
            check(f"{server.package}: and commands go on", client.say("RSET")[:3], b"250")

        guard("off")
        for number, (name, sequence) in enumerate(SEQUENCES.items()):
            codes, was_reset = smuggle("IPv4", sequence, 100 + number)
            if not was_reset and b"354" in codes:
                smuggled.append((server.package, name))
        server.stop()
    # What these servers take by themselves is theirs to mend; it is no failure if they all have.
    print(f"    without the guard two messages: {smuggled}", flush=True)


def lax_server():
    """A server that takes every sequence for the end."""
    two, one = [b"250", b"250", b"250", b"354", b"250", b"221"], [b"250", b"221"]
    with LaxServer(keywords=(b"PIPELINING",)) as server:
        for personality, messages, wanted in (("off", 2, two), ("modern", 1, one)):
            guard(personality)
            for number, (name, sequence) in enumerate(SEQUENCES.items()):
                for family in FAMILIES:
                    server.forget()
                    codes, was_reset = smuggle(family, sequence, number)
                    title = f"a lax server, {personality}, {name}, {family}"
                    check(f"{title}: messages", len(server.messages), messages)
                    check_that(f"{title}: no reset", not was_reset)
                    # An end may leave an empty line for a command.
                    check(f"{title}: replies", [code for code in codes if code != b"500"], wanted)
        # Where nothing is made a space, the reply in the middle of mail data tells that the server saw an end.
        for personality, counter in ((("mailguard",), "server-disagreements"), (STRICT, "stray-octet-resets")):
            guard(*personality)
            for number, (name, sequence) in enumerate(SEQUENCES.items()):
                family = FAMILIES[number % 2]
                server.forget()
                _, was_reset = smuggle(family, sequence, number, "HELO client")
                check_that(f"a lax server, {' '.join(personality)}, {name}, {family}: reset", was_reset)
                if personality == STRICT:
                    check(f"a lax server, {' '.join(personality)}, {name}, {family}: messages",
                          len(server.messages), 0)
            check(f"a lax server, {' '.join(personality)}: {counter}", counters()[counter], len(SEQUENCES))


lax_server()
real_servers()
done()
