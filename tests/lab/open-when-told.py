"""The guard runs with --fail-open and is killed: new connections pass, unguarded."""

from lab import FAMILIES, INSIDE, VECTOR, Client, Server, check, check_that, done, guard, lab

guard("mailguard", "--fail-open")
with Server():
    running = {}
    for family in FAMILIES:
        client = running[family] = Client(INSIDE[family], timeout=5)
        check_that(f"{family}: guarded while it runs", client.reply() != VECTOR)
        check(f"{family}: HELO", client.say("HELO client"), b"250 mail.example.com Hello\r\n")
    lab("guard", "kill")
    for family, client in running.items():
        # Nothing in this dialogue changed its length, so the two ends still agree on the numbers.
        check(f"{family}: the running connection goes on", client.say("VRFY bob"),
              b'500 5.5.1 What is "VRFY bob"?\r\n')
        with Client(INSIDE[family], timeout=5) as fresh:
            check(f"{family}: a new connection is not guarded", fresh.reply(), VECTOR)
    guard("mailguard", "--fail-closed")
    for family in FAMILIES:
        with Client(INSIDE[family], timeout=5) as fresh:
            check_that(f"{family}: and guarded again with a new guard", fresh.reply() != VECTOR)
done()
