"""A leg goes down and comes back: the guard goes on, and so does the mail."""

from lab import INSIDE, LEGS, Client, Server, check, check_that, done, guard, guard_pid, lab, run

guard()
pid = guard_pid()
with Server(), Client(INSIDE["IPv4"], timeout=20) as running:
    running.reply()
    for leg in LEGS:
        run("guard", "ip", "link", "set", leg, "down", check=True)
        try:
            Client(INSIDE["IPv4"], timeout=1).close()
            check_that(f"{leg} down: nothing passes", False, "a connection passed")
        except OSError:
            check_that(f"{leg} down: nothing passes", True)
        check(f"{leg} down: the guard lives", guard_pid(), pid)
        lab("guard", "routes")
        check(f"{leg} up again: the running connection goes on", running.say("HELO client"),
              b"250 mail.example.com Hello\r\n")
        with Client(INSIDE["IPv6"], timeout=5) as fresh:
            check_that(f"{leg} up again: a new one too", fresh.reply().startswith(b"220 *"))
        check(f"{leg} up again: it is the same guard", guard_pid(), pid)
done()
