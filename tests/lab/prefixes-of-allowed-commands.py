"""Commands that begin like allowed ones, typed octet by octet: when the octet comes that makes them
forbidden, their beginning has left already. They are refused all the same."""

from lab import FAMILIES, INSIDE, REFUSED, Client, Server, check, check_that, commands, done, guard

TYPED = ("HELP", "RSETY", "DATAQ", "MAILBOX", "QUI", "NO", "HELOX client", "RCPTS", "DAT", "M")

guard()
with Server() as server:
    for family in FAMILIES:
        for by_octet in (False, True):
            server.forget()
            title = f"{family}, {'octet by octet' if by_octet else 'line by line'}"
            with Client(INSIDE[family], by_octet=by_octet) as client:
                client.reply()
                for line in TYPED:
                    check(f"{title}: {line}", client.say(line), REFUSED)
                check(f"{title}: HELO still works", client.say("hElO client"),
                      b"250 mail.example.com Hello\r\n")
                check(f"{title}: QUIT too", client.say("quit"), b"221 bye\r\n")
            seen = commands(server.transcript)
            check_that(f"{title}: none of them reached the server", not set(seen) & set(TYPED), str(seen))
            check(f"{title}: what did, line for line", len(seen), len(TYPED) + 2)
done()
