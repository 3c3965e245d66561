"""What the tests named after mail servers share: one server inside, every client outside."""

import shutil
import smtplib

import jail
import lab
from lab import FAMILIES, INSIDE, a_message, check_that, guard, on


def by_smtplib(family, message):
    """Python's smtplib."""
    with on("outside"):
        smtp = smtplib.SMTP(INSIDE[family], 25, local_hostname="client", timeout=60)
    with smtp:
        smtp.ehlo_or_helo_if_needed()
        check_that(f"{family}: smtplib's EHLO is refused and its HELO is not",
                   not smtp.does_esmtp and smtp.helo_resp is not None)
        smtp.sendmail("alice@outside.example", ["bob@inside.example"], message)


def by_swaks(family, message):
    """swaks, which tries EHLO first too."""
    if not shutil.which("swaks"):
        raise RuntimeError("swaks is missing; run scripts/setup")
    path = lab.temp_dir() + "/message"
    with open(path, "wb") as file:
        # swaks ends the last line by itself.
        file.write(message.replace(b"\r\n", b"\n").removesuffix(b"\n"))
    ran = lab.run("outside", "swaks", "--server", INSIDE[family], "--port", "25", "--helo", "client",
                  "--from", "alice@outside.example", "--to", "bob@inside.example",
                  "--data", "@" + path, "--suppress-data", "--timeout", "30")
    check_that(f"{family}: swaks is content", ran.returncode == 0, ran.stdout[-1500:])


def all_clients_deliver_to(server):
    """Every client we have, over both families, each with a message of its own."""
    guard()
    server.start()
    seed = 0
    for name, send in (("smtplib", by_smtplib), ("swaks", by_swaks)):
        for family in FAMILIES:
            seed += 1
            message = a_message(100_000, seed)
            send(family, message)
            check_that(f"{family}: {name} delivers to {server.package}", jail.delivered(server, message))
    for client_class in (jail.Postfix, jail.Exim, jail.OpenSmtpd, jail.Sendmail):
        for family in FAMILIES:
            seed += 1
            client = client_class("outside", relay=INSIDE[family]).start()
            message = a_message(100_000, seed)
            client.submit(message)
            arrived = jail.delivered(server, message)
            check_that(f"{family}: {client.package} delivers to {server.package}", arrived,
                       "" if arrived else "\nclient's log:\n" + client.last_words())
            client.stop()
