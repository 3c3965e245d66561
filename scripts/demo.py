"""The story that scripts/demo tells; run by it, on a lab that is up."""

import argparse
import email
import email.policy
import email.mime.application
import email.mime.multipart
import email.mime.text
import glob
import os
import random
import re
import shutil
import smtplib
import sys
import textwrap

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "lab"))

import jail
import lab

PERSONALITIES = ("off", "pix40", "mailguard")
TYPED = ("goodmorning", "EHLO client", "HELO client", "QUIT")
GREETING = (
    "mail.example.com Microsoft ESMTP MAIL Service, Version: 6.0.3790.3959 "
    "ready at  Tue, 12 Jun 2007 10:20:30 -0400"
)
HOST = lab.INSIDE["IPv4"]

story = []


def told(what, truth):
    """One sentence of the story, and whether it came true."""
    story.append(truth)
    print(f"  {'yes' if truth else 'NO '}  {what}")


class Sink:
    """Our own sink as the mail host."""

    name = "the sink"

    def __init__(self):
        where = lab.temp_dir()
        self.transcript = os.path.join(where, "transcript")
        self.saved = os.path.join(where, "saved")
        os.mkdir(self.saved)
        log = os.path.join(where, "log")
        lab.start("inside", lab.MAILGUARD, "sink", "--listen", f"{HOST}:25", "--greeting", GREETING,
                  "--hostname", GREETING.split(" ")[0],
                  "--transcript", self.transcript, "--save", self.saved, log=log)
        try:
            lab.wait_for("the sink", self.greets, 10)
        except TimeoutError:
            sys.exit("the sink does not answer; it said:\n" + lab.read(log))

    def greets(self):
        """Asked from inside, where no guard is."""
        try:
            with lab.Client(HOST, side="inside", timeout=2) as client:
                return client.reply() and client.say("QUIT")
        except OSError:
            return False

    def heard(self):
        """Its transcript so far."""
        return lab.read(self.transcript)

    def messages(self):
        """The messages that it saved."""
        found = []
        for path in sorted(glob.glob(self.saved + "/**/*", recursive=True)):
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    found.append(file.read())
        return found


class RealPostfix:
    """A real Postfix as the mail host."""

    name = "Postfix"

    def __init__(self):
        self.jail = jail.Postfix("inside")
        self.jail.start()

    def heard(self):
        """Its own words about the commands that reached it from outside."""
        return "\n".join(re.findall(r"(?<=< )\S+\[192\.0\.2\.\d+\]: .*", self.jail.said()))

    def messages(self):
        """What it delivered."""
        return [head + b"\n\n" + body for head, body in self.jail.mailbox()]


def session():
    """The article's test; what was typed and what was read, step by step."""
    with lab.Client(HOST) as client:
        steps = [("", client.reply())]
        steps += [(line, client.say(line)) for line in TYPED]
        return steps


def side_by_side(columns):
    """Prints transcripts in columns, each step of all of them at the same height."""
    width = (min(shutil.get_terminal_size((120, 40)).columns, 160) - 3 * (len(columns) - 1)) // len(columns)
    rule = "-+-".join("-" * width for _ in columns)

    def row(cells):
        print(" | ".join(cell.ljust(width) for cell in cells).rstrip())

    row([f"guard: {name}" for name in columns])
    print(rule)
    for step in range(len(TYPED) + 1):
        cells = []
        for steps in columns.values():
            typed, read = steps[step]
            lines = [f"> {typed}"] if typed else ["> (connects to port 25)"]
            for line in read.decode("latin-1").splitlines():
                lines += textwrap.wrap(line, width, break_on_hyphens=False) or [""]
            cells.append(lines)
        for number in range(max(map(len, cells))):
            row([lines[number] if number < len(lines) else "" for lines in cells])
    print(rule)


def attachment_mail():
    """A mail with a megabyte of octets that no text filter would leave alone."""
    attachment = random.Random(25).randbytes(1 << 20)
    mail = email.mime.multipart.MIMEMultipart()
    mail["From"], mail["To"] = "<alice@outside.example>", "<bob@inside.example>"
    mail["Subject"] = "the attachment"
    mail.attach(email.mime.text.MIMEText("EHLO and goodmorning, but only in the text.\nQUIT\n.\nbye\n"))
    mail.attach(email.mime.application.MIMEApplication(attachment, Name="attachment.bin"))
    return attachment, mail.as_bytes(policy=email.policy.SMTP)


def attachment_of(octets):
    """The attachment of a mail as it arrived."""
    for part in email.message_from_bytes(octets).walk():
        if part.get_filename() == "attachment.bin":
            return part.get_payload(decode=True)
    return b""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", choices=("sink", "postfix"), default="sink")
    args = parser.parse_args()
    lab.lab("guard", "bypass")
    host = Sink() if args.server == "sink" else RealPostfix()
    lab.lab("guard", "restore")

    columns, reached = {}, {}
    for personality in PERSONALITIES:
        lab.guard(personality)
        before = len(host.heard())
        columns[personality] = session()
        lab.wait_for("the mail host's transcript", lambda: "QUIT" in host.heard()[before:].upper(), 10)
        reached[personality] = host.heard()[before:]

    print("\nWhat the client reads:\n")
    side_by_side(columns)
    for personality in PERSONALITIES:
        print(f"\nWhat reached {host.name} (its own transcript), guard: {personality}")
        print(textwrap.indent(reached[personality].rstrip(), "    "))

    print("\nThe story:")
    off, pix40, mailguard = ([read for _, read in columns[name]] for name in PERSONALITIES)
    own = off[0][4:-2]
    told("without the guard, the mail host answers goodmorning itself",
         "GOODMORNING" in reached["off"].upper() and off[1][:1] == b"5")
    told("and EHLO with its extensions", off[2].startswith(b"250-"))
    told("pix40: the greeting is SMTP/cmap and underscores, as long as the original",
         pix40[0] == b"220 " + (b"SMTP/cmap ready" + b"_" * len(own))[: len(own)] + b"\r\n")
    told("pix40: goodmorning and EHLO are answered OK", pix40[1] == pix40[2] == b"250 OK\r\n")
    masked = bytes(octet if octet in b"20" else ord("*") for octet in own)
    told("mailguard: of the greeting only 2 and 0 are left", mailguard[0] == b"220 " + masked + b"\r\n")
    told("mailguard: goodmorning and EHLO are answered 500 Command unrecognized",
         mailguard[1] == mailguard[2] == lab.REFUSED)
    for personality in ("pix40", "mailguard"):
        words = reached[personality].upper()
        told(f"{personality}: neither goodmorning nor EHLO reached the mail host",
             "GOODMORNING" not in words and "EHLO" not in words)
        told(f"{personality}: HELO did, and was answered by it",
             "HELO CLIENT" in words and columns[personality][3][1] == off[3])

    print("\nMail through the guard (mailguard):")
    attachment, message = attachment_mail()
    before = len(host.messages())
    with lab.on("outside"):
        smtp = smtplib.SMTP(HOST, 25, local_hostname="client", timeout=60)
    with smtp:
        smtp.ehlo_or_helo_if_needed()
        told("EHLO was refused, so the client went on with HELO, as all of them do",
             not smtp.does_esmtp and smtp.helo_resp is not None)
        smtp.sendmail("alice@outside.example", ["bob@inside.example"], message)
    arrived = lab.wait_for("the mail", lambda: host.messages()[before:], 30)[0]
    print(f"  SHA-256 of the attachment outside: {lab.sha256(attachment)}")
    print(f"  SHA-256 of the attachment inside:  {lab.sha256(attachment_of(arrived))}")
    told("the attachment is the same", attachment == attachment_of(arrived))
    told("and so is the whole body", jail.body_digest(message) == jail.body_digest(arrived))

    counters = lab.lab("guard", "stop")
    print("\nThe guard's own count of the last act:")
    print("\n".join(line for line in counters.splitlines() if re.search(r"\s[1-9]\d*$", line)))
    print()
    if all(story):
        print(f"All {len(story)} sentences of the story came true.")
    else:
        print(f"{story.count(False)} of {len(story)} sentences of the story did NOT come true.")
        lab.fail("the story")
    lab.done()


main()
