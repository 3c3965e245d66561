"""Real mail servers inside take mail through each personality, by EHLO where it passes and by HELO where it does
not; and a Postfix outside sees a PIX where a greeting is made of stars, 2 and 0 alone, and nowhere else."""

import generations
import jail
from lab import (FAMILIES, INSIDE, Client, Server, a_message, check, check_that, commands, done, guard, wait_for)

PERSONALITIES = ("pix42", "pix6x", "asa72", "asa94", "modern", "watchguard", "raptor", "arista", "fsecure")
# Where EHLO does not pass, or a server hears HELO for it, no extension is seen.
WITHOUT_EHLO = ("pix42", "pix6x", "arista")
# An OK to an EHLO that never came makes a client go on without HELO. Not every server has that.
WITHOUT_HELLO = {jail.Postfix: b"250", jail.Exim: b"503", jail.OpenSmtpd: b"503", jail.Sendmail: b"250"}


def send(address, message):
    """One mail; whether EHLO was taken, and whether extensions were seen."""
    with Client(address, timeout=60) as client:
        client.reply()
        said = client.say("EHLO client")
        takes_ehlo = said.startswith(b"250")
        hello = "RSET" if takes_ehlo else "HELO client"
        accepted = generations.send_mail(client, message, hello)
        return takes_ehlo, said.count(b"\r\n") > 1, accepted[:3]


def servers():
    """Each server behind each personality."""
    seed = 0
    for server_class in (jail.Postfix, jail.Exim, jail.OpenSmtpd, jail.Sendmail):
        server = server_class("inside").start()
        sent = []
        for personality in PERSONALITIES:
            family = FAMILIES[seed % 2]
            seed += 1
            message = a_message(30_000, seed)
            guard(personality)
            title = f"{server.package} behind {personality}, {family}"
            takes_ehlo, has_extensions, code = send(INSIDE[family], message)
            check(f"{title}: EHLO is taken", takes_ehlo, not personality.startswith("pix"))
            check(f"{title}: extensions are seen", has_extensions, personality not in WITHOUT_EHLO)
            check(f"{title}: accepted", code, b"250")
            sent.append((title, message))
        guard("pix40")
        for family in FAMILIES:
            title = f"{server.package} behind pix40, {family}"
            with Client(INSIDE[family]) as client:
                client.reply()
                check(f"{title}: EHLO seems to be taken", client.say("EHLO client"), b"250 OK\r\n")
                check(f"{title}: MAIL without a HELO", client.say("MAIL FROM:<alice@outside.example>")[:3],
                      WITHOUT_HELLO[server_class])
        for title, message in sent:
            check_that(f"{title}: delivered", jail.delivered(server, message))
        server.stop()


# The greeting that Postfix reads, whether it takes it for that of a PIX, and the first verb that the server sees.
SEEN = [
    (("pix42",), True, "HELO"),
    (("pix44",), True, "HELO"),
    (("pix5x",), True, "HELO"),
    (("pix6x",), True, "HELO"),
    (("asa70",), True, "HELO"),
    (("asa72",), True, "HELO"),
    (("asa94",), True, "HELO"),
    (("mailguard",), True, "HELO"),
    (("pix40",), False, "NOOP"),
    (("modern",), False, "EHLO"),
    (("watchguard",), False, "EHLO"),
    (("checkpoint",), False, "EHLO"),
    (("raptor",), False, "EHLO"),
    (("arista",), False, "HELO"),
    (("fsecure",), False, "EHLO"),
    (("asa72", "--set", "greeting=esmtp"), False, "EHLO"),
    (("asa72", "--set", "greeting=none"), False, "EHLO"),
    (("asa72", "--set", "greeting=cmap"), False, "EHLO"),
    (("modern", "--set", "greeting=keep20"), True, "HELO"),
    (("pix6x", "--set", "greeting=esmtp"), False, "XXXX"),
    (("off",), False, "EHLO"),
]
ROUTES = ("transport_maps = inline:{ { inside.example = smtp:[" + INSIDE["IPv4"]
          + "] }, { six.example = smtp:[" + INSIDE["IPv6"] + "] } }")
DOMAINS = {"IPv4": "inside.example", "IPv6": "six.example"}


def postfix_outside():
    """What a Postfix says of each greeting."""
    client = jail.Postfix("outside", extra=(ROUTES,)).start()
    # As short as one packet, so that no end of mail data is split.
    message = a_message(300)
    with Server(greeting=b"220 mail.example.com ESMTP Sendmail 8.12.9\r\n") as server:
        for number, (personality, is_pix, verb) in enumerate(SEEN):
            guard(*personality)
            family = FAMILIES[number % 2]
            title = f"Postfix outside {' '.join(personality)}, {family}"
            server.forget()
            before = len(client.said())
            client.submit(message, recipient="bob@" + DOMAINS[family])
            wait_for("Postfix to be done with it", lambda: "status=" in client.said()[before:], 30)
            said = client.said()[before:]
            check_that(f"{title}: sent", "status=sent" in said, said[-2000:])
            check(f"{title}: PIX workarounds", "enabling PIX workarounds: disable_esmtp for" in said, is_pix)
            check(f"{title}: no other word of PIX", "PIX" in said, is_pix)
            check(f"{title}: the server sees first", commands(server.transcript)[0].split(" ")[0], verb)
            check(f"{title}: messages", len(server.messages), 1)
    client.stop()


servers()
postfix_outside()
done()
