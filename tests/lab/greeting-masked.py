"""The greeting as the client reads it, octet for octet, for each personality."""

from lab import FAMILIES, INSIDE, Client, Server, check, done, guard

REED = b"220 letra.reed.edu ESMTP Sendmail 8.12.9/8.12.9; Mon, 15 Sep 2003 10:35:57 -0700 (PDT)\r\n"
POSTFIX = b"220 metagross ESMTP Postfix (Debian/GNU)\r\n"
# The longest line of the kind that SMTP allows (RFC 5321 section 4.5.3.1.5).
LONG = b"220 " + b"host 2020 " * 50 + b"0\r\n"
EXCHANGE = (
    b"220 mail.example.com Microsoft ESMTP MAIL Service, Version: 6.0.3790.3959 "
    b"ready at  Tue, 12 Jun 2007 10:20:30 -0400\r\n"
)
LINES = b"220-This is my mail server 2 0\r\n220-\r\n220 mail.example.com ready 2026\r\n"

KEEP20 = {
    EXCHANGE: b"220 **********************************************************0****0"
    b"**********************2*****200***0*20**0**0*00\r\n",
    REED: b"220 *********************************2******2****************200***0********0*00******\r\n",
    POSTFIX: b"220 " + b"*" * 36 + b"\r\n",
    LONG: b"220 " + b"*****2020*" * 50 + b"0\r\n",
    LINES: b"220-" + b"*" * 23 + b"2*0\r\n220-\r\n220 " + b"*" * 23 + b"202*\r\n",
    b"220 \r\n": b"220 \r\n",
    b"220\r\n": b"220\r\n",
    b"220 20\r\n": b"220 20\r\n",
    # No mail today: only a greeting that says so too is masked as text; its code stays.
    b"554 No SMTP service here, 2 or 0\r\n": b"554 " + b"*" * 22 + b"2****0\r\n",
}


def cmap(line):
    """`SMTP/cmap ready` and underscores up to the length of the original; cut if that is shorter."""
    text = line[4:-2]
    return line[:4] + (b"SMTP/cmap ready" + b"_" * len(text))[: len(text)] + b"\r\n"


PIX40 = {line: cmap(line) for line in (EXCHANGE, REED, POSTFIX, LONG, b"220 short\r\n")}


def main():
    for personality, vectors in (
        ("mailguard", KEEP20),
        ("pix40", PIX40),
        ("off", {line: line for line in (EXCHANGE, LINES, b"220 20\r\n")}),
    ):
        guard(personality)
        for original, masked in vectors.items():
            with Server(greeting=original):
                for family in FAMILIES:
                    with Client(INSIDE[family]) as client:
                        got = client.reply()
                        check(f"{personality}, {family}: {original[:40]!r}", got, masked)


main()
done()
