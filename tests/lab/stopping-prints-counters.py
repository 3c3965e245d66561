"""SIGTERM and SIGINT end the guard cleanly, and its last words are the counters."""

from lab import INSIDE, Client, Server, check_that, done, guard, guard_pid, lab

for signal in ("TERM", "INT"):
    guard()
    with Server(), Client(INSIDE["IPv4"]) as client:
        client.reply()
        client.say("EHLO client")
        client.say("QUIT")
    said = lab("guard", "stop", signal)
    check_that(f"SIG{signal} ends it", guard_pid() is None)
    for word in ("packets-in", "greetings-masked", "commands-refused", "Drops:"):
        check_that(f"SIG{signal}: the counters are printed: {word}", word in said, f"in {said!r}")
    refused = [line.split()[-1] for line in said.splitlines() if "commands-refused" in line]
    check_that(f"SIG{signal}: one command was refused", refused == ["1"], repr(refused))
done()
