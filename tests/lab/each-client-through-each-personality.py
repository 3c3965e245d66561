"""Real mail servers outside send mail through each personality to a real one inside: it arrives as it was sent. Where an
OK to an EHLO that never came makes a client go on without HELO, a server that insists on HELO refuses the mail for good."""

import re

import jail
import lab
from lab import FAMILIES, INSIDE, a_message, check, check_that, done, guard, wait_for

CLIENTS = (jail.Postfix, jail.Exim, jail.OpenSmtpd, jail.Sendmail)
DOMAINS = {"IPv4": "inside.example", "IPv6": "six.example"}
ROUTES = {DOMAINS[family]: INSIDE[family] for family in FAMILIES}

# What the server hears of a client that begins with EHLO, before MAIL.
HELLO = {
    "mailguard": ["NOOP", "HELO"],
    "pix40": ["NOOP"],
    "pix41": ["NOOP"],
    "pix42": ["XXXX", "HELO"],
    "pix44": ["XXXX", "HELO"],
    "pix5x": ["XXXX", "HELO"],
    "pix6x": ["XXXX", "HELO"],
    "asa70": ["EHLO"],
    "asa72": ["EHLO"],
    "asa94": ["EHLO"],
    "modern": ["EHLO"],
    "watchguard": ["EHLO"],
    "checkpoint": ["EHLO"],
    "raptor": ["EHLO"],
    "arista": ["HELO"],
    "fsecure": ["EHLO"],
    "off": ["EHLO"],
}
# Postfix takes these for a PIX, by their greeting, and begins with HELO.
LIKE_A_PIX = ("mailguard", "pix42", "pix44", "pix5x", "pix6x", "asa70", "asa72", "asa94")
# Where an end of mail data that is split over packets is lost, mail must be as short as one packet to arrive for sure.
LOSES_SPLIT_ENDS = ("pix42", "pix44", "pix5x")
# Where CHUNKING is seen, which Exim uses.
WITH_CHUNKING = ("modern", "checkpoint", "raptor", "off")
WITHOUT_HELLO = ("pix40", "pix41")

# A mail that is refused for good, in the log of its client.
FAILED = {
    jail.Postfix: r"status=bounced \(host .* said: 503 .*in reply to MAIL FROM",
    jail.Exim: r"\*\* bob@.*SMTP error from remote mail server after .*MAIL FROM.*: 503 ",
    jail.OpenSmtpd: r'result="PermFail" stat="503 ',
    jail.Sendmail: r"to=<bob@.*reply=503 .*, stat=Service unavailable",
}


def names():
    """The personalities that there are."""
    listed = lab.run("outside", lab.MAILGUARD, "personality").stdout
    return re.findall(r"^(\S+)  ", listed, re.M)


def heard(text):
    """What Postfix, by its own account, was sent by the host outside."""
    return re.findall(r"< \S+\[(?:192\.0\.2|2001:db8:1:)\S*\]: (\S+)", text)


def all_arrives(client, server):
    """One mail through each personality."""
    for number, personality in enumerate(HELLO):
        guard(personality)
        family = FAMILIES[number % 2]
        title = f"{client.package} through {personality}, {family}"
        message = a_message(400 if personality in LOSES_SPLIT_ENDS else 30_000, client.seed + number)
        before = len(server.said())
        client.submit(message, recipient="bob@" + DOMAINS[family])
        if not check_that(f"{title}: delivered", jail.delivered(server, message, 30), client.last_words()):
            continue
        jail.end_of_session(client)
        wait_for("the server's last word", lambda: "disconnect from out" in server.said()[before:])
        hello = HELLO[personality]
        mail_data = ["DATA"]
        if isinstance(client, jail.Postfix) and personality in LIKE_A_PIX:
            hello = ["HELO"]
        if isinstance(client, jail.Exim) and personality in WITH_CHUNKING:
            mail_data = ["BDAT", "BDAT"]
        check(f"{title}: the server hears", heard(server.said()[before:]),
              [*hello, "MAIL", "RCPT", *mail_data, "QUIT"])


def none_arrives(client, server):
    """The server insists on HELO."""
    for number, personality in enumerate(WITHOUT_HELLO):
        guard(personality)
        family = FAMILIES[number % 2]
        title = f"{client.package} through {personality} to Exim, {family}"
        message = a_message(400, client.seed + number + 100)
        before = len(client.said())
        client.submit(message, recipient="bob@" + DOMAINS[family])
        wait_for(f"{title}: given up", lambda: re.search(FAILED[type(client)], client.said()[before:]), 30)
        jail.end_of_session(client)
        check(f"{title}: nothing arrives", server.mailbox(), [])


check("every personality has its row", list(HELLO), names())
strict = jail.Exim("inside")
lax = jail.Postfix("inside")
for number, client_class in enumerate(CLIENTS):
    sender = client_class("outside", relay=ROUTES).start()
    sender.seed = 1000 * number
    for receiver, test in ((strict, none_arrives), (lax, all_arrives)):
        receiver.start()
        test(sender, receiver)
        receiver.stop()
    sender.stop()
done()
