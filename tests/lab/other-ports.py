"""--port 2525,587: these are guarded, and 25 is not the guard's business any more."""

from lab import INSIDE, VECTOR, Client, Server, check, check_that, done, guard

guard("mailguard", "--port", "2525,587")
with Server(port=25), Server(port=2525), Server(port=587):
    for port, masked in ((2525, True), (587, True), (25, False)):
        for family, address in INSIDE.items():
            with Client(address, port=port, timeout=5) as client:
                greeting = client.reply()
                check(f"{family}, port {port}: masked", greeting != VECTOR, masked)
                if masked:
                    check_that(f"{family}, port {port}: like a PIX", set(greeting[4:-2]) <= set(b"*20"))
guard("mailguard")
with Server(port=25), Server(port=2525):
    for port, masked in ((2525, False), (25, True)):
        with Client(INSIDE["IPv4"], port=port, timeout=5) as client:
            check(f"by default, port {port}: masked", client.reply() != VECTOR, masked)
done()
