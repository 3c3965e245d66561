"""What the tests with many sessions share."""

import time

import lab
from lab import (FAMILIES, INSIDE, REFUSED, Client, Server, check, check_that, guard, guard_rss, sha256,
                 stuffed)

MESSAGE = lab.a_message(2000)


def one_session(address):
    """A whole session with a refused command in it."""
    with Client(address, timeout=30) as client:
        if not client.reply().startswith(b"220 *"):
            raise ConnectionError("the greeting is not masked")
        if client.say("EHLO client") != REFUSED:
            raise ConnectionError("EHLO is not refused")
        if lab.send_mail(client, MESSAGE) != b"250 message accepted\r\n":
            raise ConnectionError("the message is not accepted")


def in_a_row(count):
    """So many sessions, one after the other, over both families by turns."""
    guard()
    wanted = sha256(MESSAGE)
    failed = []
    with Server() as server:
        server.keep_messages = False
        for number in range(200):
            one_session(INSIDE[lab.FAMILIES[number % 2]])
        settled = guard_rss()
        server.forget()
        since = time.monotonic()
        for number in range(count):
            if number == count // 2:
                half = guard_rss()
            try:
                one_session(INSIDE[lab.FAMILIES[number % 2]])
            except OSError as why:
                failed.append(f"session {number}: {why!r}")
        took = time.monotonic() - since
        after = guard_rss()
        check_that(f"{count} sessions in a row, none fails", not failed, "\n".join(failed[:5]))
        check_that("every message is whole", server.digests == [wanted] * count)
    rest = rss_at_rest()
    print(f"    {count / took:.0f} sessions/s; guard RSS in KiB: before {settled}, half-way {half}, "
          f"at the end {after}, at rest {rest}", flush=True)
    # What is over is remembered for a while, so a busy guard holds more than one at rest; but only
    # for a while: twice as many sessions must not hold twice as much.
    if took > MEMORY:
        check_that("the second half costs no memory", after < half + 4 * 1024, f"{half} then {after} KiB")
    check_that("the guard's memory is near where it was", rest < settled + room(count), f"{settled} then {rest} KiB")


# Seconds until connections that are over are forgotten: they are remembered for 15 s, their timers
# for 30 s.
MEMORY = 35


def room(count):
    """KiB that the allocator may keep of what so many sessions used: half a KiB each, a quarter of what
    it would be if the guard forgot to free their messages."""
    return 4096 + count // 2


def rss_at_rest():
    """The guard's memory when it has had time to forget."""
    time.sleep(MEMORY)
    return guard_rss()


COUNT = 1000
# The first line of each round goes out on every connection before the first answer is read.
ROUNDS = (
    (b"EHLO client\r\n", REFUSED),
    (b"HELO client\r\n", b"250 mail.example.com Hello\r\n"),
    (b"MAIL FROM:<alice@outside.example>\r\n", b"250 sender ok\r\n"),
    (b"RCPT TO:<bob@inside.example>\r\n", b"250 recipient ok\r\n"),
    (b"VRFY bob\r\n", REFUSED),
    (b"DATA\r\n", b"354 go ahead\r\n"),
    (stuffed(MESSAGE), b"250 message accepted\r\n"),
    (b"QUIT\r\n", b"221 bye\r\n"),
)


def a_thousand(server):
    """Opens them all, walks them all through every round, closes them all."""
    server.forget()
    clients = [Client(INSIDE[FAMILIES[n % 2]], timeout=60) for n in range(COUNT)]
    masked = sum(client.reply().startswith(b"220 *") for client in clients)
    check("greetings masked", masked, COUNT)
    for sent, wanted in ROUNDS:
        for client in clients:
            client.send(sent)
        right = sum(client.reply() == wanted for client in clients)
        check(f"{sent[:20]!r} is answered as it should be", right, COUNT)
    for client in clients:
        client.close()
    check("messages whole", server.digests.count(sha256(MESSAGE)), COUNT)


def crowds(times):
    """So many times a thousand sessions at once; the guard's memory must come back."""
    guard()
    with Server() as server:
        for _ in range(50):
            one_session(INSIDE["IPv4"])
        rss = [guard_rss()]
        for _ in range(times):
            a_thousand(server)
            time.sleep(1)
            rss.append(guard_rss())
        rss.append(rss_at_rest())
    print(f"    guard RSS in KiB, before, after each thousand, at rest: {rss}", flush=True)
    if times > 10:
        check_that("the second half costs no memory", rss[-2] < rss[times // 2] + 4 * 1024, str(rss))
    check_that("the guard's memory is near where it was", rss[-1] < rss[0] + room(times * COUNT), str(rss))
