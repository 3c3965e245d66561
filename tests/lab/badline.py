"""What the tests on a bad line share: many pipelined refusals, then a message, many times at once."""

import random
import threading
import time

from lab import (FAMILIES, INSIDE, REFUSED, Client, Server, a_message, check, check_that, commands,
                 guard, lab, sha256, stuffed)

SESSIONS = 40
ANSWERS = {
    b"HELO client": b"250 mail.example.com Hello\r\n",
    b"NOOP": b"250 nothing done\r\n",
    b"RSET": b"250 reset\r\n",
    b"MAIL FROM:<a@b.example>": b"250 sender ok\r\n",
    b"EHLO client": REFUSED,
    b"EXPN staff and some more words, so that segments fill": REFUSED,
    b"x": REFUSED,
    b"VRFY bob": REFUSED,
    b"goodmorning": REFUSED,
}
message = a_message(200_000)


def session(number, answers, problems, times):
    """Two hundred commands at once, in pieces cut anywhere, then a message."""
    rng = random.Random(number)
    since = time.monotonic()
    lines = [rng.choice(list(answers)) for _ in range(200)]
    text = b"".join(line + b"\r\n" for line in lines)
    try:
        with Client(INSIDE[FAMILIES[number % 2]], timeout=150) as client:
            client.reply()
            while text:
                cut = rng.choice((1, 7, 50, 1460, len(text)))
                client.send(text[:cut])
                text = text[cut:]
            heard = [client.reply() for _ in lines]
            if heard != [answers[line] for line in lines]:
                problems.append(f"session {number}: the replies differ: {heard[:10]}")
            for line in (b"RSET", b"MAIL FROM:<a@b.example>", b"RCPT TO:<b@b.example>", b"DATA"):
                client.say(line + b"\r\n")
            client.send(stuffed(message))
            if client.reply() != b"250 message accepted\r\n":
                problems.append(f"session {number}: the message is not accepted")
            client.say("QUIT")
    except OSError as why:
        problems.append(f"session {number}: {why!r}")
    times.append(time.monotonic() - since)


def run(loss, personality="mailguard", first=0):
    """Forty sessions at once, over both families; returns how long each took, in order."""
    guard(personality)
    lab("loss", loss)
    answers = dict(ANSWERS)
    if personality == "off":
        for line, answer in ANSWERS.items():
            if answer == REFUSED:
                answers[line] = b'500 5.5.1 What is "' + line + b'"?\r\n'
        del answers[b"EHLO client"]
    problems, times = [], []
    with Server() as server:
        threads = [threading.Thread(target=session, args=(first + n, answers, problems, times))
                   for n in range(SESSIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        title = f"{personality}, {loss} % lost on each wire"
        check_that(f"{title}: {SESSIONS} sessions, all replies in order", not problems, "\n".join(problems[:5]))
        check(f"{title}: every message is whole", server.digests, [sha256(message)] * SESSIONS)
        if personality != "off":
            seen = " ".join(commands(server.transcript)).upper()
            check_that(f"{title}: the server saw no forbidden word",
                       not any(word in seen for word in ("EHLO", "EXPN", "VRFY", "GOODMORNING")))
    lab("loss", 0)
    times.sort()
    print(f"    {title}: seconds a session: median {times[len(times) // 2]:.1f}, longest {times[-1]:.1f}",
          flush=True)
    return times
