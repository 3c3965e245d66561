"""A forbidden command in IP fragments: only the first has ports, yet it must not get past the guard."""

import time

from lab import FAMILIES, IS_BRIDGE, Server, check, check_that, commands, done, guard, lab
from raw import HandMade, no_resets

no_resets()
guard()
lab("guard", "kill")
with Server(), Server(port=2525):
    for family in FAMILIES:
        # Nobody but the guard brings anything over a bridge.
        check(f"{family}: no guard: a SYN in fragments to another port is answered",
              HandMade(family, 2525).open(cut=24), not IS_BRIDGE)
        check(f"{family}: no guard: a SYN in fragments to port 25 is answered",
              HandMade(family, 25).open(cut=24), False)
guard()
with Server() as server:
    for family in FAMILIES:
        client = HandMade(family, 25)
        check(f"{family}: the hand-made client is connected", client.open(), True)
        greeting = b""
        while not greeting.endswith(b"\r\n"):
            heard = client.hear()
            if heard is None:
                break
            greeting += heard[1]
        client.send(16)
        check_that(f"{family}: it reads a masked greeting", greeting.startswith(b"220 *"), repr(greeting))
        client.send(24, b"HELO client\r\n")
        heard = client.hear()
        while heard is not None and not heard[1]:
            heard = client.hear()
        check(f"{family}: HELO is answered", heard and heard[1], b"250 mail.example.com Hello\r\n")
        client.seq += 13
        client.send(24, b"EXPN staff\r\n", cut=24)
        heard = client.hear()
        print(f"    what became of the fragments: {heard}", flush=True)
        time.sleep(0.5)
        seen = commands(server.transcript)
        check_that(f"{family}: EXPN in fragments did not reach the server",
                   not any("EXPN" in line.upper() or "STAFF" in line.upper() for line in seen), str(seen))
        server.forget()
done()
