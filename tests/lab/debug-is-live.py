"""debug and terminal monitor show in a console what is done with real mail while it passes, at the socket and by telnet, and
whoever is typing goes on typing."""

import os
import re

import consoles
import jail
from lab import FAMILIES, INSIDE, Client, a_message, check, check_that, done, lab, send_mail, temp_dir

CLIENT, HOST = r"outside:[\d.a-f:]+/\d+", r"inside:[\d.a-f:]+/25"
MESSAGE = a_message(100_000)


def mail(family):
    """A command that is refused, then a message of 100 kB to Postfix."""
    with Client(INSIDE[family]) as client:
        check_that(f"{family}: the greeting is masked", b"**" in client.reply())
        client.say("VERB client")
        check(f"{family}: the mail is accepted", send_mail(client, MESSAGE)[:3], b"250")
        client.rest()


def told(terminal):
    """The messages of a session up to the end of the next connection."""
    text = terminal.expect(" TCP FINs from ")
    return re.sub(r"\x1b\[[\d;?]*\w|\r", "", text) + " TCP FINs from "


def shows(title, text, *patterns):
    for pattern in patterns:
        check_that(f"{title}: {pattern}", re.search(pattern, text), text)


def is_silent(title, terminal):
    """Nothing has come up to now: what comes next is what is asked for."""
    terminal.type("show clock")
    text = terminal.expect(" UTC ")
    check_that(f"{title} is silent", "-10" not in text and "-30" not in text, text)
    terminal.expect("# ")


def session(terminal, password):
    if password:
        terminal.expect("Password: ")
        terminal.type(password)
    terminal.expect("> ")
    terminal.type("enable")
    terminal.expect("Password: ")
    terminal.type("")
    terminal.expect("# ")
    return terminal


jail.Postfix("inside").start()
for personality, debug, device in (("pix6x", "debug fixup smtp", "PIX"), ("asa94", "debug esmtp", "ASA")):
    path = os.path.join(temp_dir(), personality)
    with open(path, "w") as file:
        file.write(f"personality {personality}\nhostname gate\npasswd letmein\n")
    lab("guard", "start", "--config", path, "--telnet", "2323")
    here, afar = session(consoles.local(), ""), session(consoles.telnet(2323), "letmein")
    here.type(debug)
    here.expect(f"{debug} enabled")
    afar.type("terminal monitor")
    afar.expect("# ")
    # Half of a line, and the rest of it when the mail has passed.
    here.expect("# ")
    os.write(here.terminal, b"show cl")
    for family in FAMILIES:
        mail(family)
        shows(f"{debug}, {family}", told(here),
              rf"%{device}-6-302013: Built inbound TCP connection \d+ for {CLIENT} ",
              rf"%MAILGUARD-7-100008: A greeting was masked from {HOST} to {CLIENT}",
              rf"%MAILGUARD-6-100005: Refused SMTP command VERB from {CLIENT} to {HOST}",
              rf"%MAILGUARD-7-100008: A message was let through, up to its end of mail data from {CLIENT} to {HOST}",
              rf"%{device}-6-302014: Teardown TCP connection \d+ for {CLIENT} to {HOST} duration 0:00:\d\d bytes 1\d{{5}} ")
    here.type("ock")
    here.expect(" UTC ")
    here.expect("# ")
    is_silent("terminal monitor without logging monitor", afar)
    for line in ("configure terminal", "logging enable", "logging monitor informational", "end", "undebug all"):
        here.type(line)
        here.expect("# ")
    mail("IPv4")
    seen = told(afar)
    shows("terminal monitor", seen, rf"%{device}-6-302013: Built", r"%MAILGUARD-6-100005: Refused SMTP command VERB ",
          rf"%{device}-6-302014: Teardown")
    check_that("terminal monitor: not what is less severe", "100008" not in seen, seen)
    is_silent("undebug all", here)
    here.type("terminal monitor")
    here.expect("# ")
    afar.type("no terminal monitor")
    afar.expect("# ")
    mail("IPv6")
    shows("terminal monitor at the socket", told(here), rf"%{device}-6-302013: Built")
    is_silent("no terminal monitor", afar)
    # Who closes the window in the middle harms nobody.
    here.end()
    mail("IPv4")
    afar.type("show conn count")
    afar.expect(" in use")
    afar.end()
done()
