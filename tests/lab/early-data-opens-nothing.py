"""DATA before RCPT, which the server refuses: no command may slip through as if it were mail
(CVE-2000-1022, and again CSCdu47003)."""

from lab import INSIDE, REFUSED, Client, Server, check, check_that, commands, done, guard

guard()
with Server() as server:
    with Client(INSIDE["IPv4"]) as client:
        client.reply()
        client.say("HELO client")
        check("DATA is refused by the server", client.say("DATA"), b"503 need RCPT\r\n")
        for line in ("EXPN staff", "VRFY bob", "HELP", ".", "expn staff"):
            check(f"{line} is refused", client.say(line), REFUSED)
        client.say("QUIT")
    # And all of it at once.
    with Client(INSIDE["IPv4"]) as client:
        client.reply()
        client.send(b"HELO client\r\nDATA\r\nEXPN staff\r\nVRFY bob\r\n.\r\nQUIT\r\n")
        check("pipelined", [client.reply() for _ in range(6)],
              [b"250 mail.example.com Hello\r\n", b"503 need RCPT\r\n", REFUSED, REFUSED, REFUSED,
               b"221 bye\r\n"])
    seen = " ".join(commands(server.transcript)).upper()
    check_that("the server saw neither EXPN nor VRFY nor HELP",
               not any(word in seen for word in ("EXPN", "VRFY", "HELP")), seen)
done()
