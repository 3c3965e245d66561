"""A sendmail outside tries HELO when its EHLO got a 500, and defers the mail when it got a 402 for the same XXXX, which
the other mail servers do not. If it is left to the greeting, a masked one makes it begin with HELO."""

import os

import jail
from lab import FAMILIES, INSIDE, Client, Server, a_message, check, check_that, commands, done, guard, wait_for

GREETING = b"220 mail.example.com ESMTP Sendmail 8.12.9\r\n"
ODD = b"402 4.5.2 Error: command not recognized\r\n"
DOMAINS = {"IPv4": "inside.example", "IPv6": "six.example"}
ROUTES = {DOMAINS[family]: INSIDE[family] for family in FAMILIES}
message = a_message(400)


def verbs(server):
    """What the server heard first, up to MAIL."""
    heard = [line.split(" ")[0] for line in commands(server.transcript)]
    return heard[:heard.index("MAIL")] if "MAIL" in heard else heard


def submit(client, family, is_done):
    """Submits the mail; returns what the client says of it until it is done."""
    before = len(client.said())
    client.submit(message, recipient="bob@" + DOMAINS[family])
    wait_for(f"{client.package} to be done with it", lambda: is_done in client.said()[before:], 30)
    return client.said()[before:]


def deferred_at_402(server):
    """An odd server behind a PIX."""
    client = jail.Sendmail("outside", relay=ROUTES).start()
    for family in FAMILIES:
        title = f"sendmail, {family}"
        guard("pix6x")
        with Client(INSIDE[family]) as typed:
            typed.reply()
            check(f"{title}: the 402 passes as it is", typed.say("EHLO client"), ODD)
        server.forget()
        said = submit(client, family, "stat=Deferred")
        check_that(f"{title}: a 402 defers the mail", "reply=402" in said or "402 4.5.2" in said, said)
        check(f"{title}: no HELO", verbs(server), ["XXXX", "QUIT"])
        check(f"{title}: messages", len(server.messages), 0)
        check(f"{title}: the mail waits", len(queue(client)), 1)
        # Nothing but the reply is the reason.
        for personality in ("mailguard", "off"):
            guard(personality)
            server.forget()
            if personality == "mailguard":
                client.run(client.binary, "-q", "-v")
                check(f"{title}: none waits any more", queue(client), [])
            else:
                submit(client, family, "stat=Sent")
            check(f"{title}: through {personality}", (verbs(server), len(server.messages)),
                  (["NOOP", "HELO"] if personality == "mailguard" else ["EHLO"], 1))
    client.stop()


def queue(client):
    """The mails that wait in sendmail's queue."""
    return [name for name in os.listdir(client.path("var/spool/mqueue")) if name.startswith("qf")]


def others_go_on(server):
    """For Postfix, Exim and OpenSMTPD any refusal of EHLO is a reason to try HELO."""
    guard("pix6x")
    for number, make in enumerate((lambda: jail.Postfix("outside", ROUTES, ("smtp_pix_workarounds =",)),
                                   lambda: jail.Exim("outside", ROUTES),
                                   lambda: jail.OpenSmtpd("outside", ROUTES))):
        client = make().start()
        server.forget()
        client.submit(message, recipient="bob@" + DOMAINS[FAMILIES[number % 2]])
        wait_for("the mail", lambda: server.messages, 30)
        check(f"{client.package}: HELO after a 402", verbs(server), ["XXXX", "HELO"])
        client.stop()


def by_the_greeting():
    """What sendmail says first, if it is left to the greeting."""
    client = jail.Sendmail("outside", relay=ROUTES, mailer="smtp").start()
    with Server(greeting=GREETING) as server:
        for number, (personality, verb) in enumerate({
            ("pix40",): "HELO",
            ("pix44",): "HELO",
            ("pix6x",): "HELO",
            ("asa72",): "HELO",
            ("asa94",): "HELO",
            ("watchguard",): "HELO",
            ("checkpoint",): "EHLO",
            ("asa72", "--set", "greeting=esmtp"): "EHLO",
            ("modern",): "EHLO",
            ("off",): "EHLO",
        }.items()):
            guard(*personality)
            family = FAMILIES[number % 2]
            server.forget()
            submit(client, family, "stat=Sent")
            check(f"sendmail by the greeting of {' '.join(personality)}, {family}", verbs(server), [verb])
            check(f"sendmail by the greeting of {' '.join(personality)}, {family}: messages", len(server.messages), 1)
    client.stop()


with Server(greeting=GREETING, unknown=ODD) as odd:
    deferred_at_402(odd)
    others_go_on(odd)
by_the_greeting()
done()
