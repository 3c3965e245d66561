"""A Postfix outside recognises what stands before the mail host, as it did with a real PIX."""

import jail
from lab import (FAMILIES, INSIDE, Server, a_message, check, check_that, commands, done, guard, sha256,
                 wait_for)

# The dot in its own segment is for mail that has waited; no test waits 500 seconds for it.
NO_PATIENCE = ("smtp_pix_workaround_threshold_time = 0s", "smtp_pix_workaround_delay_time = 1s")


def deliver(family, server, extra):
    """Postfix outside sends one message to the scripted server inside; returns Postfix's log."""
    server.forget()
    client = jail.Postfix("outside", relay=INSIDE[family], extra=extra).start()
    client.submit(a_message(20_000))
    wait_for("the mail", lambda: server.messages or "status=deferred" in client.said(), 30)
    check_that(f"{family}: delivered", len(server.messages) == 1, client.said()[-2000:])
    wait_for("Postfix to be done with it", lambda: "status=" in client.said(), 20)
    said = client.said()
    client.stop()
    return said


def verbs(server):
    """The verbs that the server saw; the rest of the names is Postfix's business."""
    return [line.split(" ")[0].split(":")[0].upper() for line in commands(server.transcript)]


with Server(greeting=b"220 mail.example.com ESMTP Sendmail 8.12.9\r\n") as server:
    guard("mailguard")
    for family in FAMILIES:
        said = deliver(family, server, NO_PATIENCE)
        check_that(f"{family}: Postfix enables its PIX workarounds",
                   "enabling PIX workarounds: disable_esmtp delay_dotcrlf" in said, said[-2000:])
        check(f"{family}: and uses HELO", verbs(server), ["HELO", "MAIL", "RCPT", "DATA", "QUIT"])
        check_that(f"{family}: status=sent", "status=sent" in said)

        # As it comes: young mail is not delayed.
        said = deliver(family, server, ())
        check_that(f"{family}: with Postfix's defaults disable_esmtp alone",
                   "enabling PIX workarounds: disable_esmtp for" in said, said[-2000:])

    guard("off")
    for family in FAMILIES:
        said = deliver(family, server, NO_PATIENCE)
        check_that(f"{family}: with off, not a word of PIX", "PIX" not in said)
        check(f"{family}: and ESMTP", verbs(server)[0], "EHLO")
done()
