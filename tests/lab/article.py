"""The knowledge-base article's test, typed by hand: greeting, goodmorning, EHLO, HELO, QUIT."""

import lab
from lab import FAMILIES, INSIDE, REFUSED, VECTOR, Client, Server, check, check_that, commands, guard

MASKED = (
    b"220 **********************************************************0****0"
    b"**********************2*****200***0*20**0**0*00\r\n"
)
OWN_EHLO = b"250-mail.example.com\r\n250-PIPELINING\r\n250-VRFY\r\n250 HELP\r\n"
OWN_WORDS = b'500 5.5.1 What is "goodmorning"?\r\n'
HELO = b"250 mail.example.com Hello\r\n"
BYE = b"221 bye\r\n"

WANTED = {
    "off": [VECTOR, OWN_WORDS, OWN_EHLO, HELO, BYE],
    "mailguard": [MASKED, REFUSED, REFUSED, HELO, BYE],
    "pix40": [
        b"220 SMTP/cmap ready" + b"_" * (len(VECTOR) - 2 - 19) + b"\r\n",
        b"250 OK\r\n", b"250 OK\r\n", HELO, BYE,
    ],
}
TYPED = ["goodmorning", "EHLO client", "HELO client", "QUIT"]


def session(address, by_octet):
    """What the client reads, reply by reply."""
    with Client(address, by_octet=by_octet) as client:
        heard = [client.reply()]
        heard += [client.say(line) for line in TYPED]
        rest = client.rest()
        return heard + ([rest] if rest else [])


def run(by_octet):
    """All personalities, both families."""
    how = "octet by octet" if by_octet else "line by line"
    with Server() as server:
        for personality, wanted in WANTED.items():
            guard(personality)
            for family in FAMILIES:
                server.forget()
                title = f"{personality}, {family}, {how}"
                check(f"{title}: the client reads", session(INSIDE[family], by_octet), wanted)
                seen = commands(server.transcript)
                if personality == "off":
                    check(f"{title}: the server sees all", seen, TYPED)
                    continue
                words = " ".join(seen).upper()
                check_that(f"{title}: neither word reached the server",
                           "GOODMORNING" not in words and "EHLO" not in words, f"but it saw {seen}")
                if by_octet:
                    # What was a prefix of an allowed command had left before it became another.
                    check(f"{title}: the server sees as many lines", len(seen), len(TYPED))
                    check(f"{title}: the last two as typed", seen[2:], TYPED[2:])
                else:
                    check(f"{title}: the server sees", seen, ["NOOP", "NOOP", "HELO client", "QUIT"])
                    check(f"{title}: as long as typed, or NOOP", [
                        len(line) for line in server.transcript], [len(line) for line in TYPED])


if __name__ == "__main__":
    raise SystemExit("run one of the article-typed tests")
