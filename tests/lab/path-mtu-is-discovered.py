"""Only the guard's own wire inside is narrow, and neither host knows: the kernel tells the client with
ICMP, whose quoted sequence number is the edited one. Mail flows all the same."""

from lab import (FAMILIES, INSIDE, IS_BRIDGE, REFUSED, Client, Server, a_message, check, done, guard, run, send_mail,
                 sha256, skip)

if IS_BRIDGE:
    skip("no router is in the way: nobody tells of a narrow wire")
message = a_message(5_000_000)
guard()
run("guard", "ip", "link", "set", "wire-inside", "mtu", "1280", check=True)
with Server() as server:
    for family in FAMILIES:
        server.forget()
        with Client(INSIDE[family], timeout=30) as client:
            client.reply()
            # A refusal that makes the command longer, and one that makes the reply shorter.
            check(f"{family}: a refusal", client.say("x"), REFUSED)
            client.say("EHLO client")
            check(f"{family}: mail", send_mail(client, message), b"250 message accepted\r\n")
        check(f"{family}: SHA-256", server.digests, [sha256(message)])
    # Towards the client it is the server that must learn of a narrow wire.
    run("guard", "ip", "link", "set", "wire-inside", "mtu", "1500", check=True)
    run("guard", "ip", "link", "set", "wire-outside", "mtu", "1280", check=True)
    for family in FAMILIES:
        with Client(INSIDE[family], timeout=30) as client:
            client.reply()
            client.send(b"HELO client\r\n" + b"NOOP\r\nEXPN staff\r\n" * 500)
            replies = [client.reply() for _ in range(1001)]
            check(f"{family}: five hundred refusals", replies.count(REFUSED), 500)
run("guard", "ip", "link", "set", "wire-outside", "mtu", "1500", check=True)
done()
