"""The way inside becomes narrow in the middle of a session whose lengths have changed. What the kernel of the
guard says of it quotes edited numbers; the client believes only its own (its route has the new MTU)."""

import re
import time

from lab import (FAMILIES, INSIDE, IS_BRIDGE, REFUSED, Client, Server, a_message, at_end, check, check_that, done, guard,
                 lab, run, send_mail, sha256, skip)

if IS_BRIDGE:
    skip("no router is in the way: nobody tells of a narrow wire")
message = a_message(3_000_000)
SHIFT = 30_000  # lines that grow by three octets each: beyond all that the client has in flight


def mtu_of_route(family):
    """The MTU that the client has learned for its way inside."""
    said = run("outside", "ip", "route", "get", INSIDE[family]).stdout
    found = re.search(r"mtu (\d+)", said)
    return int(found.group(1)) if found else None


def translated():
    """ICMP errors that the guard has translated."""
    run("guard", "kill", "-USR1", lab("guard", "pid").strip(), check=True)
    time.sleep(0.3)
    return int(re.findall(r"icmp-errors-translated +(\d+)", lab("guard", "log"))[-1])


guard()
at_end(lambda: lab("mtu", "inside", 1500))
with Server() as server:
    for family, mtu in zip(FAMILIES, (1300, 1340)):
        server.forget()
        run("outside", "ip", "route", "flush", "cache")
        run("outside", "ip", "-6", "route", "flush", "cache")
        check(f"{family}: the client knows of no narrow link", mtu_of_route(family), None)
        with Client(INSIDE[family], timeout=60) as client:
            client.reply()
            for _ in range(SHIFT // 300):
                client.send(b"x\r\n" * 300)
                if [client.reply() for _ in range(300)] != [REFUSED] * 300:
                    raise ConnectionError("not all were refused")
            # Only the guard's end: neither host knows.
            run("guard", "ip", "link", "set", "wire-inside", "mtu", str(mtu), check=True)
            before = translated()
            check(f"{family}: mail", send_mail(client, message), b"250 message accepted\r\n")
            check(f"{family}: the client believes what it was told", mtu_of_route(family), mtu)
            check_that(f"{family}: it was translated", translated() > before)
        check(f"{family}: SHA-256", server.digests, [sha256(message)])
        run("guard", "ip", "link", "set", "wire-inside", "mtu", "1500", check=True)
done()
