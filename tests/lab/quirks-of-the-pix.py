"""What firewalls of those days did to mail: an end of mail data in two packets that is lost (CSCds90792), or whose
reply is; the hole behind DATA (CVE-2000-1022); telnet in character mode; mail data taken for commands (PIX
4.2(2)); the second line of a greeting masked. Each with the knob that mends it."""

import array
import contextlib
import fcntl
import termios
import time

import generations
import jail
from lab import (IS_BRIDGE, FAMILIES, INSIDE, OUTSIDE, Client, Server, a_message, at_end, check, check_that, commands, done, guard,
                 run, sha256, stuffed, wait_for)

ACCEPTED = b"250 message accepted\r\n"
# As short as one packet.
message = a_message(600)
# How long nothing has to come to be taken for silence.
SILENCE = 2


def unacknowledged(client):
    """Octets that the client has sent and nobody has taken."""
    waiting = array.array("i", [0])
    fcntl.ioctl(client.socket, termios.TIOCOUTQ, waiting)
    return waiting[0]


def hears_nothing(client, seconds=SILENCE):
    """Whether nothing comes for so long."""
    client.socket.settimeout(seconds)
    try:
        client.socket.recv(1)
    except TimeoutError:
        return True
    finally:
        client.socket.settimeout(15)
    return False


def up_to_the_end(client):
    """A mail but for its last three octets, which have all been taken."""
    client.reply()
    generations.envelope(client)
    client.send(stuffed(message)[:-3])
    generations.drained(client)


def split_end(client, parts, is_held):
    """The end of mail data in packets of their own."""
    came = 0
    for part in parts[:-1]:
        client.send(part)
        came += len(part)
        if is_held:
            # It has come before the rest, and nobody acknowledges it.
            time.sleep(0.2)
            check("held back, octets", unacknowledged(client), came)
        else:
            generations.drained(client)
    client.send(parts[-1])


def lost_ends(server):
    """CSCds90792."""
    for cut, personalities in (((b".", b"\r\n"), ("pix42", "pix44", "pix5x")), ((b".\r", b"\n"), ("pix44",)),
                               ((b".", b"\r", b"\n"), ("pix44",))):
        for family in FAMILIES:
            for personality in personalities:
                guard(personality)
                server.forget()
                title = f"{personality}, {family}, {b' '.join(cut)!r}"
                with Client(INSIDE[family]) as client:
                    up_to_the_end(client)
                    split_end(client, cut, is_held=True)
                    check_that(f"{title}: no reply", hears_nothing(client, 1))
                    check(f"{title}: messages", len(server.messages), 0)
                    check(f"{title}: not acknowledged either", unacknowledged(client), 3)
                if personality != "pix44":
                    continue
                guard("pix44", "--set", "split-end=pass")
                with Client(INSIDE[family]) as client:
                    up_to_the_end(client)
                    split_end(client, cut, is_held=False)
                    check(f"{title}, split-end=pass: a reply", client.reply(), ACCEPTED)
                    check(f"{title}, split-end=pass: SHA-256", server.digests, [sha256(message)])


def duplicates(server, addresses, side):
    """A client that hears nothing tries again, five times, and there it is five times."""
    guard("pix44", "--set", "split-end=withhold-reply")
    for family in FAMILIES:
        server.forget()
        title = f"withhold-reply, from {side}, {family}"
        for attempt in range(1, 6):
            with Client(addresses[family], side=side) as client:
                up_to_the_end(client)
                client.send(b".")
                generations.drained(client)
                client.send(b"\r\n")
                wait_for("the message", lambda: len(server.messages) >= attempt)
                check_that(f"{title}, attempt {attempt}: no reply", hears_nothing(client, 0.5))
        check(f"{title}: duplicates", server.digests, [sha256(message)] * 5)
        with Client(addresses[family], side=side) as client:
            client.reply()
            check(f"{title}: in one packet it is answered", generations.send_mail(client, message), ACCEPTED)


def early_data(server):
    """CVE-2000-1022: the command DATA opened the door, whatever its reply was."""
    for phase, expn in (("command", "EXPN root"), ("reply", "XXXX root")):
        guard("pix5x", "--set", f"data-phase={phase}")
        for family in FAMILIES:
            server.forget()
            with Client(INSIDE[family]) as client:
                client.reply()
                client.say("HELO client")
                check(f"data-phase={phase}, {family}: DATA", client.say("DATA"), b"503 need RCPT\r\n")
                client.say("EXPN root")
                client.say(".")
                client.say("EXPN again")
            seen = commands(server.transcript)
            check(f"data-phase={phase}, {family}: the server sees", [seen[2], seen[4]], [expn, "XXXX again"])


class RawServer(Server):
    """Keeps all octets as they come, and says nothing to them."""

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection:
            connection.sendall(self.greeting)
            while got := connection.recv(65536):
                self.transcript.append(got)

    def raw(self):
        return b"".join(self.transcript)


def patience(seconds):
    """For so long the kernel outside does not send again: once it has, it sends nothing new before it has heard of
    the old, and a typed line never gets to its end."""
    for family, gateway in (("-4", "192.0.2.1"), ("-6", "2001:db8:1::1")):
        more = ("rto_min", f"{seconds}s") if seconds else ()
        via = () if IS_BRIDGE else ("via", gateway)
        run("outside", "ip", family, "route", "change", "default", *via, "dev", "eth0", *more, check=True)


def by_character():
    """Telnet in character mode: a PIX hangs, an ASA makes an X of each letter."""
    at_end(lambda: patience(0))
    patience(10)
    with RawServer() as server:
        for family in FAMILIES:
            guard("pix6x")
            server.forget()
            with Client(INSIDE[family], by_octet=True) as client:
                client.reply()
                client.send(b"NOOP")
                check_that(f"pix6x, {family}: silence", hears_nothing(client, 0.5))
                check(f"pix6x, {family}: the server sees nothing", server.raw(), b"")
                check(f"pix6x, {family}: nor is it acknowledged", unacknowledged(client), 4)
                client.send(b"\r\n")
                wait_for("the line", lambda: server.raw().endswith(b"\r\n"))
                check(f"pix6x, {family}: then the line", server.raw(), b"NOOP\r\n")
            server.forget()
            with Client(INSIDE[family], by_octet=True) as client:
                # What a telnet is: with Nagle's algorithm the second octet waits for the acknowledgement of the
                # first (RFC 1122 section 4.2.3.4).
                client.socket.setsockopt(6, 1, 0)
                client.reply()
                client.send(b"NOOP\r\n")
                check_that(f"pix6x, {family}: with Nagle's algorithm it hangs", hears_nothing(client))
                check(f"pix6x, {family}: for the server sees nothing", server.raw(), b"")
            guard("pix6x", "--set", "partial-lines=stream")
            server.forget()
            with Client(INSIDE[family], by_octet=True) as client:
                client.socket.setsockopt(6, 1, 0)
                client.reply()
                client.send(b"NOOP\r\n")
                wait_for("the line", lambda: server.raw() == b"NOOP\r\n")

            guard("asa72")
            server.forget()
            with Client(INSIDE[family]) as client:
                client.reply()
                for number, octet in enumerate(b"HELO"):
                    client.send(bytes([octet]))
                    wait_for("an X", lambda: server.raw() == b"X" * (number + 1))
                client.send(b"\r\n")
                wait_for("the end of the line", lambda: server.raw() == b"XXXX\r\n")
                check(f"asa72, {family}: each letter is an X", server.raw(), b"XXXX\r\n")
    with Server() as server:
        guard("asa72")
        for family in FAMILIES:
            with Client(INSIDE[family], by_octet=True) as client:
                client.reply()
                check(f"asa72, {family}: and the server says", client.say("HELO"),
                      b'500 5.5.1 What is "XXXX"?\r\n')


def corrupt_mail_data(server):
    """What begins inside of a line of mail data is taken for commands."""
    text = b"Subject: two packets\r\n\r\nThis line is sent in two pieces.\r\nAnd 1 more.\r\n"
    cut = text.index(b"in two")
    spoilt = text[:cut] + b"X" * len(b"in two pieces.") + b"\r\n" + b"X" * len(b"And 1 more.") + b"\r\n"
    for options, wanted in ((("--set", "mail-data=corrupt"), spoilt), ((), text)):
        guard("pix42", *options)
        for family in FAMILIES:
            server.forget()
            with Client(INSIDE[family]) as client:
                client.reply()
                generations.envelope(client)
                for part in (text[:cut], text[cut:], b".\r\n"):
                    client.send(part)
                    generations.drained(client)
                check(f"pix42 {' '.join(options)}, {family}: accepted", client.reply(), ACCEPTED)
            check(f"pix42 {' '.join(options)}, {family}: the message", server.messages, [wanted])


def greeting_of_two_lines():
    """The code of its second line is masked too, and who goes by the code waits for ever."""
    first, second = b"220-This is my mail server", b"220 mail.example.com ESMTP ready"
    stars = b"220-" + b"*" * (len(first) - 4) + b"\r\n"
    shown = {
        ("pix44",): stars + b"*" * len(second) + b"\r\n",
        ("pix6x",): stars + b"220" + b"*" * (len(second) - 3) + b"\r\n",
        ("pix6x", "--set", "greeting-continuation=keep"): stars + b"220 " + b"*" * (len(second) - 4) + b"\r\n",
    }
    with Server(greeting=first + b"\r\n" + second + b"\r\n") as server:
        for number, (personality, wanted) in enumerate(shown.items()):
            guard(*personality)
            title = " ".join(personality)
            for family in FAMILIES:
                with Client(INSIDE[family]) as client:
                    check(f"{title}, {family}: the greeting", client.reply(), wanted)
            server.forget()
            family = FAMILIES[number % 2]
            client = jail.Postfix("outside", relay=INSIDE[family], extra=("smtp_helo_timeout = 3s",)).start()
            client.submit(message)
            wait_for("Postfix to be done with it", lambda: "status=" in client.said(), 30)
            said = client.said()
            if "keep" in title:
                check_that(f"{title}, {family}: Postfix delivers", "status=sent" in said, said[-1500:])
                check(f"{title}, {family}: messages", len(server.messages), 1)
            else:
                check_that(f"{title}, {family}: Postfix waits in vain",
                           "timed out while receiving the initial server greeting" in said, said[-1500:])
                check(f"{title}, {family}: messages", len(server.messages), 0)
            client.stop()


with Server() as scripted:
    early_data(scripted)
    corrupt_mail_data(scripted)
    lost_ends(scripted)
    duplicates(scripted, INSIDE, "outside")
with Server(side="outside") as scripted:
    duplicates(scripted, OUTSIDE, "inside")
by_character()
patience(0)
greeting_of_two_lines()
done()
