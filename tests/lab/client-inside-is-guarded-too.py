"""A client inside that talks to a server outside: the same inspection the other way round."""

from lab import (FAMILIES, OUTSIDE, REFUSED, Client, Server, a_message, check, check_that, commands,
                 done, guard, send_mail, sha256)

message = a_message(50_000)
guard()
with Server(side="outside") as server:
    for family in FAMILIES:
        server.forget()
        with Client(OUTSIDE[family], side="inside") as client:
            greeting = client.reply()
            check_that(f"{family}: the greeting is masked", set(greeting[4:-2]) <= set(b"*20"), repr(greeting))
            check(f"{family}: EHLO is refused", client.say("EHLO client"), REFUSED)
            check(f"{family}: mail goes", send_mail(client, message), b"250 message accepted\r\n")
        check(f"{family}: the message is whole", server.digests, [sha256(message)])
        check_that(f"{family}: EHLO did not get out",
                   not any(line.startswith("EHLO") for line in commands(server.transcript)))
done()
