"""Connections that were open before the guard: refused, unless --midstream pass lets them go on."""

from lab import (FAMILIES, INSIDE, REFUSED, Client, Server, check, check_that, done, guard, lab)

RAW = b'500 5.5.1 What is "VRFY bob"?\r\n'

with Server() as server:
    for options, passes in (((), False), (("--midstream", "pass"), True),
                            (("--fail-open",), True), (("--fail-open", "--midstream", "drop"), False)):
        title = " ".join(options) or "by default"
        guard("mailguard", *options)
        before = {}
        for family in FAMILIES:
            before[family] = Client(INSIDE[family], timeout=3)
            before[family].reply()
            # Nothing in this dialogue changed its length, so the two ends agree on the numbers.
            before[family].say("HELO client")
        lab("guard", "kill")
        guard("mailguard", *options)
        for family in FAMILIES:
            said = len(server.transcript)
            try:
                reply = before[family].say("VRFY bob")
            except OSError as why:
                reply = type(why).__name__
            if passes:
                check(f"{title}, {family}: it goes on uninspected", reply, RAW)
            else:
                check_that(f"{title}, {family}: it does not go on", reply != RAW, reply)
                check(f"{title}, {family}: what reached the server", server.transcript[said:], [])
            with Client(INSIDE[family]) as client:
                client.reply()
                check(f"{title}, {family}: a new one is inspected", client.say("VRFY bob"), REFUSED)
done()
