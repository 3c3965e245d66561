"""The guard gives every privilege up once its legs are open, and does all its work without."""

import ctypes
import os
import re
import signal
import threading

import sessions
from lab import (FAMILIES, INSIDE, IS_BRIDGE, LEGS, REFUSED, Client, Server, a_message, check, check_that, done, guard,
                 guard_pid, lab, read, run, send_mail, sha256, wait_for)


def status(pid, field):
    """One field of the status of each thread."""
    told = {}
    for thread in os.listdir(f"/proc/{pid}/task"):
        text = read(f"/proc/{pid}/task/{thread}/status")
        name = re.search(r"^Name:\s+(.*)$", text, re.M).group(1)
        told[f"{name}/{thread}"] = re.search(rf"^{field}:\s+(\S+)", text, re.M).group(1)
    return told


def counters():
    """What SIGUSR1 makes it print."""
    before = lab("guard", "log").count("Drops:")
    os.kill(guard_pid(), signal.SIGUSR1)
    wait_for("counters", lambda: lab("guard", "log").count("Drops:") > before)


# landlock_create_ruleset(2), asked for its version: 6 or more is all that the guard asks for.
version = ctypes.CDLL(None, use_errno=True).syscall(444, None, ctypes.c_size_t(0), 1)
LANDLOCK = "landlock, " if version >= 6 else "a part of landlock, " if version > 0 else ""
message = a_message(50_000_000)
OF_LEGS = ((), ("--workers", "3", "--fail-open"), ("--no-offload",))
for options in ((), ("--workers", "3")) if IS_BRIDGE else OF_LEGS:
    guard("mailguard", *options)
    pid = guard_pid()
    title = " ".join(options) or "as it is"
    said = re.search(r"guarding .*, jailed by (.*)", lab("guard", "log"))
    check(f"{title}: it says so", said and said.group(1),
          f"capabilities, no-new-privileges, {LANDLOCK}seccomp")
    # Main thread, signals, the last resort, the logger, the workers; sixteen places for consoles, and their porter.
    workers = 3 if "--workers" in options else 1
    check(f"{title}: threads", len(status(pid, "Name")), 4 + workers + 17)
    for field, want in (("CapEff", "0" * 16), ("CapPrm", "0" * 16), ("CapInh", "0" * 16),
                        ("CapBnd", "0" * 16), ("CapAmb", "0" * 16), ("NoNewPrivs", "1"),
                        ("Seccomp", "2")):
        wrong = {who: what for who, what in status(pid, field).items() if what != want}
        check(f"{title}: threads whose {field} is not {want}", wrong, {})
    with Server() as server:
        for family in FAMILIES:
            with Client(INSIDE[family]) as client:
                client.reply()
                check(f"{title}, {family}: EHLO", client.say("EHLO client"), REFUSED)
                check(f"{title}, {family}: mail", send_mail(client, message), b"250 message accepted\r\n")
        check(f"{title}: SHA-256", server.digests, [sha256(message)] * 2)
        counters()
        # A leg goes down and comes up.
        for leg in LEGS:
            run("guard", "ip", "link", "set", leg, "down")
        lab("guard", "routes")
        server.forget()
        # A crowd, so that memory is asked for and given back.
        threads = [threading.Thread(target=lambda n=n: sessions.one_session(INSIDE[FAMILIES[n % 2]]))
                   for n in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check(f"{title}: 200 sessions at a time", len(server.digests), 200)
        counters()
    check(f"{title}: it is the same process", guard_pid(), pid)
    said = lab("guard", "stop")
    check_that(f"{title}: it ends with its counters", "packets-in" in said, said)
    check_that(f"{title}: nothing was missing", "panic" not in lab("guard", "log").replace("flow-panics", ""),
               lab("guard", "log"))

guard("mailguard", "--no-jail")
check_that("with --no-jail it says so", ", not jailed" in lab("guard", "log"), lab("guard", "log"))
seccomp = set(status(guard_pid(), "Seccomp").values())
check("with --no-jail there is no filter", seccomp, {"0"})
done()
