"""Tools that know firewalls by what they say take each personality for the device that it is named after: nmap's
service detection, and what the expressions of rapid7's recog (xml/smtp_banners.xml, smtp_noop.xml, smtp_help.xml,
smtp_ehlo.xml, smtp_vrfy.xml) ask for, said again here."""

import re
import shutil

from lab import FAMILIES, INSIDE, Client, Server, check, check_that, done, guard, run

if not shutil.which("nmap"):
    raise RuntimeError("nmap is missing; run scripts/setup")

GREETING = b"220 mail.example.com ESMTP Postfix (Debian/GNU) 2020\r\n"

NMAP = {
    "pix5x": "Cisco PIX sanitized smtpd",
    "pix6x": "Cisco PIX sanitized smtpd",
    "asa72": "Cisco PIX sanitized smtpd",
    "checkpoint": "Check Point FireWall-1 smtpd",
    "raptor": "Symantec Enterprise Firewall smtp proxy",
    "watchguard": "WatchGuard smtp proxy",
    "off": "Postfix smtpd",
}

# What recog looks at has no code before it, and lines are joined by CRLF.
STARS = r"[*20 ]{1,1000}"
RECOG = {
    "pix40": {"greeting": r"SMTP/cmap ready_+"},
    "pix44": {"greeting": STARS, "EHLO x": r'.* What is "XXXX x"\?', "VRFY bob": r'.*"XXXX.*".*'},
    "pix5x": {"greeting": STARS, "EHLO x": r'.* What is "XXXX x"\?', "VRFY bob": r'.*"XXXX.*".*'},
    "pix6x": {"greeting": STARS, "EHLO x": r'.* What is "XXXX x"\?', "VRFY bob": r'.*"XXXX.*".*'},
    "asa72": {"greeting": STARS},
    "checkpoint": {"greeting": r"CheckPoint FireWall-1 secure E?SMTP server", "NOOP": r"OK"},
    "raptor": {"greeting": r"\S+ Generic SMTP handler", "HELP": r"Help not supported by this implementation"},
    "watchguard": {"greeting": r"SMTP service ready", "HELP": r"Commands:.*DATA\tRCPT\tMAIL\tQUIT\tRSET.*"},
}
# By the code alone: nobody else answers NOOP so.
CODES = {("checkpoint", "NOOP"): b"220"}


def scan(family):
    """What nmap says about the port."""
    options = ["-6"] if family == "IPv6" else []
    return run("outside", "nmap", *options, "-n", "-Pn", "-sT", "-sV", "-p", "25", INSIDE[family]).stdout


def text_of(reply):
    """A reply without its codes."""
    return "\r\n".join(line[4:] for line in reply.decode("latin-1").removesuffix("\r\n").split("\r\n"))


def ask(family, questions):
    """The replies to all of them, on one connection."""
    with Client(INSIDE[family]) as client:
        heard = {"greeting": client.reply()}
        for question in questions:
            if question != "greeting":
                heard[question] = client.say(question)
        return heard


with Server(greeting=GREETING):
    for number, (personality, name) in enumerate(NMAP.items()):
        guard(personality)
        family = FAMILIES[number % 2]
        said = scan(family)
        check_that(f"{personality}, {family}: nmap says {name}", name in said, said)

    for personality, patterns in RECOG.items():
        guard(personality)
        for family in FAMILIES:
            heard = ask(family, patterns)
            for question, pattern in patterns.items():
                text = text_of(heard[question])
                check_that(f"{personality}, {family}: recog's expression for {question}",
                           re.fullmatch(pattern, text, re.DOTALL), repr(text))
                code = CODES.get((personality, question))
                if code:
                    check(f"{personality}, {family}: the code of {question}", heard[question][:3], code)

    # What all this would say of a server without a guard.
    guard("off")
    heard = ask("IPv4", ("NOOP", "HELP", "EHLO x"))
    every = [(question, pattern) for patterns in RECOG.values() for question, pattern in patterns.items()]
    matched = {question for question, pattern in every
               if question in heard and re.fullmatch(pattern, text_of(heard[question]), re.DOTALL)}
    check("with off none of them matches", matched, set())
    check("with off NOOP is answered with", heard["NOOP"][:3], b"250")
done()
