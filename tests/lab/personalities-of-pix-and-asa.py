"""Every generation of PIX and ASA: its greeting, what it does with words that it refuses, what of the reply to
EHLO it shows, and mail, which arrives whole."""

import generations
from article import MASKED
from generations import OK, TYPED
from lab import (FAMILIES, INSIDE, REFUSED, VECTOR, Client, Server, a_message, check, commands, done, guard,
                 sha256)

KEYWORDS = (b"PIPELINING", b"SIZE 10240000", b"VRFY", b"ETRN", b"STARTTLS", b"AUTH LOGIN PLAIN", b"AUTH=LOGIN",
            b"ENHANCEDSTATUSCODES", b"8BITMIME", b"CHUNKING", b"X-LINK2STATE")
# The commands of RFC 821 section 4.5.1, which pass everywhere.
SEVEN = [b"NOOP", b"RSET", b"HELO client", b"MAIL FROM:<alice@outside.example>", b"RCPT TO:<bob@inside.example>",
         b"DATA", b"QUIT"]
STARS = b"220 " + b"*" * 111 + b"\r\n"
CMAP = b"220 SMTP/cmap ready" + b"_" * (len(VECTOR) - 2 - 19) + b"\r\n"


def offers(*texts):
    """A reply to EHLO."""
    lines = (b"mail.example.com", *texts)
    return b"".join(b"250-" + text + b"\r\n" for text in lines[:-1]) + b"250 " + lines[-1] + b"\r\n"


ASA70 = offers(b"PIPELINING", b"SIZE 10240000", b"XXXA", b"ETRN", b"XXXXXXXB", b"AUTH LOGIN PLAIN", b"XXXXXXXXXC",
               b"ENHANCEDSTATUSCODES", b"8BITMIME", b"XXXXXXXD", b"XXXXXXXXXXXE", b"XXXF")
ASA72 = offers(b"PIPELINING", b"SIZE 10240000", b"VRFY", b"ETRN", b"XXXXXXXA", b"AUTH LOGIN PLAIN", b"AUTH=LOGIN",
               b"ENHANCEDSTATUSCODES", b"8BITMIME", b"XXXXXXXB", b"XXXXXXXXXXXC", b"XXXD")
ASA94 = offers(b"PIPELINING", b"SIZE 10240000", b"VRFY", b"ETRN", b"STARTTLS", b"AUTH LOGIN PLAIN", b"AUTH=LOGIN",
               b"ENHANCEDSTATUSCODES", b"8BITMIME", b"XXXXXXXA", b"XXXXXXXXXXXB", b"XXXC")
MODERN = offers(*KEYWORDS[:-1], b"HELP")


def own_words(line):
    """What the server says to a word that it does not know."""
    return b'500 5.5.1 What is "' + line.encode() + b'"?\r\n'


def x_verb(line):
    verb, blank, rest = line.partition(" ")
    return "X" * len(verb) + blank + rest


def x_line(line):
    return "X" * len(line)


def typed(refused, passed=(), ehlo=None):
    """For each word what the server sees and what the client reads: refused says so of one that is."""
    wanted = []
    for line in TYPED:
        if line.split(" ")[0] not in passed:
            wanted.append(refused(line))
        elif line.startswith("EHLO"):
            wanted.append((line, ehlo))
        else:
            wanted.append((line, own_words(line)))
    return wanted


def answered(reply):
    return lambda line: ("NOOP", reply)


def masked(mask):
    return lambda line: (mask(line), own_words(mask(line)))


PIX = typed(masked(x_verb))
SAID = {
    "pix40": (CMAP, typed(answered(OK))),
    "pix41": (CMAP, typed(answered(OK))),
    "pix42": (STARS, PIX),
    "pix44": (STARS, PIX),
    "pix5x": (MASKED, PIX),
    "pix6x": (MASKED, PIX),
    "asa70": (MASKED, typed(masked(x_line), ("EHLO", "VRFY"), ASA70)),
    "asa72": (MASKED, typed(masked(x_line), ("EHLO", "VRFY"), ASA72)),
    "asa94": (MASKED, typed(masked(x_line), ("EHLO", "VRFY", "STARTTLS"), ASA94)),
    "mailguard": (MASKED, typed(answered(REFUSED))),
    "modern": (VECTOR, typed(answered(REFUSED), ("EHLO", "VRFY", "STARTTLS"), MODERN)),
    "off": (VECTOR, typed(None, ("goodmorning", "EHLO", "VRFY", "X-LINK2STATE", "STARTTLS"),
                          offers(*KEYWORDS, b"HELP"))),
}

message = a_message(200_000)
with Server(keywords=KEYWORDS) as server:
    for number, (personality, (greeting, wanted)) in enumerate(SAID.items()):
        guard(personality)
        # The one family for the words and the other for the mail, by turns.
        words, mail = FAMILIES[number % 2], FAMILIES[(number + 1) % 2]
        server.forget()
        with Client(INSIDE[words]) as client:
            check(f"{personality}, {words}: the greeting", client.reply(), greeting)
            for line, (_, reply) in zip(TYPED, wanted):
                check(f"{personality}, {words}: {line} is answered", client.say(line), reply)
        check(f"{personality}, {words}: the server sees", commands(server.transcript),
              [seen for seen, _ in wanted])
        check(f"{personality}, {words}: as long as typed", [len(line) for line in server.transcript],
              [len(line) for line in TYPED])

        server.forget()
        with Client(INSIDE[mail], timeout=60) as client:
            check(f"{personality}, {mail}: the greeting", client.reply(), greeting)
            check(f"{personality}, {mail}: NOOP is the server's", client.say("NOOP"), b"250 nothing done\r\n")
            check(f"{personality}, {mail}: RSET is the server's", client.say("RSET"), b"250 reset\r\n")
            check(f"{personality}, {mail}: mail by HELO", generations.send_mail(client, message),
                  b"250 message accepted\r\n")
        check(f"{personality}, {mail}: all seven reach the server as typed", server.transcript, SEVEN)
        check(f"{personality}, {mail}: SHA-256", server.digests, [sha256(message)])

# The sample of KB 320027, two lines of a terminal, is one greeting of a Windows 2000 server with its separator
# masked too.
WINDOWS = (b"220 mail.abc.xyz Microsoft ESMTP MAIL Service, Version: 5.0.2195.4905 ready at  "
           b"Tue, 3 Sep 2002 11:11:21 -0500\r\n")
SAMPLE = (b"220" + b"*" * 55 + b"0*2******0" + b"*" * 23 + b"2002*******2***0*00\r\n")
with Server(greeting=WINDOWS):
    guard("pix6x", "--set", "greeting-separator=mask")
    for family in FAMILIES:
        with Client(INSIDE[family]) as client:
            check(f"{family}: the sample of the article", client.reply(), SAMPLE)
done()
