"""Without offload, with several workers, with both: the same dialogue, the same mail."""

import threading

import sessions
from lab import (FAMILIES, INSIDE, REFUSED, Client, Server, a_message, check, check_that, done, guard,
                 send_mail, sha256)

message = a_message(20_000_000)
for options in (("--no-offload",), ("--workers", "2"), ("--workers", "4", "--no-offload")):
    guard("mailguard", *options)
    title = " ".join(options)
    with Server() as server:
        for family in FAMILIES:
            with Client(INSIDE[family], by_octet=True) as client:
                client.reply()
                check(f"{title}, {family}: EHLO", client.say("EHLO client"), REFUSED)
            with Client(INSIDE[family]) as client:
                client.reply()
                check(f"{title}, {family}: mail", send_mail(client, message), b"250 message accepted\r\n")
        check(f"{title}: SHA-256", server.digests, [sha256(message)] * 2)
        server.forget()
        problems = []

        def some(first):
            """A few sessions, one after the other, beside others."""
            for number in range(20):
                try:
                    sessions.one_session(INSIDE[FAMILIES[(first + number) % 2]])
                except OSError as why:
                    problems.append(repr(why))

        threads = [threading.Thread(target=some, args=(n,)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check_that(f"{title}: 400 sessions, 20 at a time", not problems, "\n".join(problems[:5]))
        check(f"{title}: their messages", server.digests, [sha256(sessions.MESSAGE)] * 400)
done()
