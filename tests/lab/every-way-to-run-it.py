"""Without offload, without io_uring, with several workers, with both: the same dialogue, the same mail."""

import ctypes
import errno
import os
import threading

import sessions
from lab import (FAMILIES, INSIDE, REFUSED, Client, Server, a_message, check, check_that, done, guard,
                 guard_pid, send_mail, sha256)


def open_files():
    """What the descriptors of the guard are."""
    there = f"/proc/{guard_pid()}/fd"
    return [os.readlink(f"{there}/{number}") for number in os.listdir(there)]


# io_uring_setup(2) of nothing fails, but not so where there is none or it may not be used.
ctypes.CDLL(None, use_errno=True).syscall(425, 0, None)
HAS_IO_URING = ctypes.get_errno() not in (errno.ENOSYS, errno.EPERM)
message = a_message(20_000_000)
for options in (("--no-offload",), ("--no-io-uring",), ("--workers", "2"), ("--workers", "4", "--no-offload")):
    guard("mailguard", *options)
    title = " ".join(options)
    workers = int(options[1]) if "--workers" in options else 1
    rings = 2 * workers if HAS_IO_URING and "--no-io-uring" not in options else 0
    check(f"{title}: a ring for each queue", open_files().count("anon_inode:[io_uring]"), rings)
    with Server() as server:
        for family in FAMILIES:
            with Client(INSIDE[family], by_octet=True) as client:
                client.reply()
                check(f"{title}, {family}: EHLO", client.say("EHLO client"), REFUSED)
            with Client(INSIDE[family]) as client:
                client.reply()
                check(f"{title}, {family}: mail", send_mail(client, message), b"250 message accepted\r\n")
        check(f"{title}: SHA-256", server.digests, [sha256(message)] * 2)
        server.forget()
        problems = []

        def some(first):
            """A few sessions, one after the other, beside others."""
            for number in range(20):
                try:
                    sessions.one_session(INSIDE[FAMILIES[(first + number) % 2]])
                except OSError as why:
                    problems.append(repr(why))

        threads = [threading.Thread(target=some, args=(n,)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check_that(f"{title}: 400 sessions, 20 at a time", not problems, "\n".join(problems[:5]))
        check(f"{title}: their messages", server.digests, [sha256(sessions.MESSAGE)] * 400)
done()
