"""HELO, EXPN, MAIL, RCPT, VRFY, DATA in one segment: replies in order, refusals in their places."""

from lab import (FAMILIES, INSIDE, REFUSED, Client, Server, a_message, check, check_that, commands,
                 done, guard, sha256, stuffed)

SEGMENT = (
    b"HELO client\r\nEXPN staff\r\nMAIL FROM:<alice@outside.example>\r\n"
    b"RCPT TO:<bob@inside.example>\r\nVRFY bob\r\nDATA\r\n"
)
REPLIES = {
    "mailguard": [b"250 mail.example.com Hello\r\n", REFUSED, b"250 sender ok\r\n",
                  b"250 recipient ok\r\n", REFUSED, b"354 go ahead\r\n"],
    "pix40": [b"250 mail.example.com Hello\r\n", b"250 OK\r\n", b"250 sender ok\r\n",
              b"250 recipient ok\r\n", b"250 OK\r\n", b"354 go ahead\r\n"],
}
message = a_message(5000)

with Server() as server:
    for personality, replies in REPLIES.items():
        guard(personality)
        for family in FAMILIES:
            server.forget()
            title = f"{personality}, {family}"
            with Client(INSIDE[family]) as client:
                client.reply()
                client.send(SEGMENT)
                check(f"{title}: the replies", [client.reply() for _ in replies], replies)
                # A refused command in the same segment as the end of mail data.
                client.send(stuffed(message) + b"EXPN again\r\nQUIT\r\n")
                check(f"{title}: the end", [client.reply() for _ in range(3)],
                      [b"250 message accepted\r\n", replies[1], b"221 bye\r\n"])
            check(f"{title}: the message", server.digests, [sha256(message)])
            seen = commands(server.transcript)
            check_that(f"{title}: neither EXPN nor VRFY reached the server",
                       not any(word in " ".join(seen).upper() for word in ("EXPN", "VRFY")), str(seen))
            check(f"{title}: the server sees", seen,
                  ["HELO client", "NOOP", "MAIL FROM:<alice@outside.example>",
                   "RCPT TO:<bob@inside.example>", "NOOP", "DATA", "NOOP", "QUIT"])
done()
