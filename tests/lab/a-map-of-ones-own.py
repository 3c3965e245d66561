"""A policy map of one's own (policy-map type inspect esmtp), read from a file, in front of a real Postfix: what each class
and parameter matches, what it does then, and what show and the log say of it."""

import os
import re
import subprocess

import jail
from generations import counters
from lab import INSIDE, ROOT, Client, check, check_that, done, lab, temp_dir, wait_for

CONFIG = r"""
personality asa94
hostname gate
regex spam "^spam[0-9]*@"
regex program "\.(exe|scr)$"
class-map type regex match-any bad
 match regex program
policy-map type inspect esmtp mine
 match cmd verb VRFY
  reset log
 match sender-address regex spam
  drop-connection log
 match MIME filetype regex class bad
  drop-connection log
 match MIME encoding base64
  log
 match ehlo-reply-parameter size
  mask
 match cmd verb NOOP
  rate-limit 2
 parameters
  mail-relay inside.example action drop-connection log
  special-character action log
  allow-tls action log
policy-map global_policy
 class inspection_default
  inspect esmtp mine
logging enable
logging buffered debugging
"""


def console(*lines):
    """Lines typed by who is enabled."""
    script = "\n".join(("enable", "", *lines)) + "\n"
    ran = subprocess.run([os.path.join(ROOT, "netns", "lab"), "console"], input=script, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    check(f"console: {lines}", ran.returncode, 0)
    return ran.stdout


def logged(words):
    """Waits until the buffer of the log has a line with these words."""
    wait_for(words, lambda: words in console("show logging"), 10)


def greeted():
    client = Client(INSIDE["IPv4"], timeout=5)
    check_that("the greeting is not masked", b"**" not in client.reply())
    return client


def is_silent(client, *texts):
    """What is sent gets no answer: nobody is told that the connection was dropped."""
    try:
        for text in texts:
            client.send(text)
        return client.reply() == b""
    except (TimeoutError, OSError) as why:
        return not isinstance(why, ConnectionResetError)


def mail(client, message, sender="a@inside.example"):
    for line in ("EHLO client", f"MAIL FROM:<{sender}>", "RCPT TO:<b@inside.example>"):
        check(f"{line.split()[0]} passes", client.say(line)[:3], b"250")
    check("DATA passes", client.say("DATA")[:3], b"354")
    client.send(message + b"\r\n.\r\n")


server = jail.Postfix("inside").start()
path = os.path.join(temp_dir(), "config")
with open(path, "w") as file:
    file.write(CONFIG)
lab("guard", "start", "--config", path)

with greeted() as client:
    said = client.say("EHLO client")
    check_that("SIZE is masked", b"SIZE" not in said and b"250-XXX" in said, said)
    check_that("others are not: the map has no class for them", b"VRFY" in said and b"DSN" in said, said)
    try:
        said = client.say("VRFY root")
    except ConnectionResetError:
        said = "reset"
    check("VRFY is reset", said, "reset")
logged("Reset connection for ESMTP Request from outside:")
logged("matched Class 1: cmd verb VRFY")

with greeted() as client:
    client.say("EHLO client")
    check_that("a sender that matches is dropped in silence", is_silent(client, b"MAIL FROM:<spam7@example.org>\r\n"))
logged("matched Class 2: sender-address regex spam")

plain = b"Content-Type: text/plain; name=notes.txt\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD"
with greeted() as client:
    mail(client, plain)
    check("an attachment that does not match is mail", client.reply()[:3], b"250")
logged("Received ESMTP Request from outside:")
logged("matched Class 4: MIME encoding base64")
with greeted() as client:
    mail(client, plain.replace(b"notes.txt", b"\"good bye.exe\""))
    check_that("one that matches is dropped in silence", is_silent(client))
logged("matched Class 3: MIME filetype regex class bad")

with greeted() as client:
    client.say("EHLO client")
    check("mail from elsewhere", client.say("MAIL FROM:<a@example.org>")[:3], b"250")
    check_that("to elsewhere is dropped in silence", is_silent(client, b"RCPT TO:<b@example.net>\r\n"))
logged("ESMTP Parameter: Dropped connection for ESMTP Request")
logged("mail-relay: No Mail Relay allowed")

with greeted() as client:
    client.send(b"NOOP\r\n" * 5)
    check("what is limited waits, and comes", [client.reply()[:3] for _ in range(5)], [b"250"] * 5)
check_that("it has waited", counters()["map-rate-limited"] > 0)

said = console("show service-policy inspect esmtp")
check_that("show service-policy", "Inspect: esmtp mine, packet " in said and "match MIME filetype regex class bad" in said, said)
counts = re.findall(r"        match (.*)\n          (.*), packet (\d+)\n", said)
check("each class has counted its matches, the silent ones too", counts, [
    ("cmd verb VRFY", "reset log", "1"),
    ("sender-address regex spam", "drop-connection log", "1"),
    ("MIME filetype regex class bad", "drop-connection log", "1"),
    ("MIME encoding base64", "log", "1"),
    ("ehlo-reply-parameter size", "mask", "5"),
    ("cmd verb NOOP", "rate-limit 2", "5")])
said = console("clear counters", "show service-policy inspect esmtp")
check("and counts from zero", re.findall(r", packet (\d+)\n", said), ["0"] * 6)
said = console("show running-config")
check_that("show running-config", " match MIME filetype regex class bad\n  drop-connection log\n" in said, said)
lab("guard", "stop")
done()
