"""The article's cure, typed as it says: telnet or console, enable, the password, configure terminal, no fixup protocol
smtp 25, write memory, reload. Before it ESMTP is blocked, after it STARTTLS passes; who was there before keeps what he had."""

import os

import consoles
import jail
import tls
from lab import FAMILIES, INSIDE, Client, a_message, check, check_that, done, guard_pid, lab, read, temp_dir

KEY, CERT = tls.certificate()


def postfix():
    """A Postfix with TLS."""
    server = jail.Postfix("inside", extra=("smtpd_tls_security_level = may", "smtpd_tls_cert_file = /etc/lab-tls/cert.pem",
                                           "smtpd_tls_key_file = /etc/lab-tls/key.pem"))
    for path, name in ((KEY, "key.pem"), (CERT, "cert.pem")):
        server.write(f"etc/lab-tls/{name}", read(path), 0o600)
    return server


def fresh(name):
    """A guard whose startup configuration is that of a new PIX with passwords."""
    path = os.path.join(temp_dir(), name)
    with open(path, "w") as file:
        file.write("personality pix6x\nhostname pixfirewall\nenable password cisco\npasswd letmein\n")
    lab("guard", "start", "--config", path, "--telnet", "2323")
    return path


def is_blocked(title, address):
    with Client(address) as client:
        check_that(f"{title}: the greeting is masked", b"**" in client.reply())
        for command in ("EHLO client", "STARTTLS"):
            said = client.say(command)
            check_that(f"{title}: {command} is blocked", said[:3] in (b"500", b"502"), said)


def by_console(path):
    said, status = consoles.script("enable\ncisco\nconfigure terminal\nno fixup protocol smtp 25\nwrite memory\nexit\nreload\n\n")
    check("console: nothing was refused", status, 0)
    check_that("console: it was written", f"Building configuration...\n{path}\n[OK]" in said, said)
    check_that("console: it was reloaded", "startup configuration is in force" in said, said)


def by_telnet(path):
    telnet = consoles.telnet(2323)
    check_that("telnet: it warns", "plain text" in telnet.expect("Password: "))
    telnet.type("letmein")
    telnet.expect("pixfirewall> ")
    telnet.type("enable")
    telnet.expect("Password: ")
    telnet.type("cisco")
    check_that("telnet: no password is shown", "cisco" not in telnet.expect("pixfirewall# "))
    telnet.type("configure terminal")
    telnet.expect("pixfirewall(config)# ")
    telnet.type("no fixup protocol smtp 25")
    telnet.expect("pixfirewall(config)# ")
    telnet.type("write memory")
    check_that("telnet: it was written", "[OK]" in telnet.expect("pixfirewall(config)# "))
    telnet.type("reload")
    telnet.expect("[confirm]")
    telnet.type("")
    telnet.expect("pixfirewall> ")
    telnet.type("exit")
    telnet.end()


server = postfix().start()
message = a_message(20_000)
for title, way in (("console", by_console), ("telnet", by_telnet)):
    path = fresh(title)
    pid = guard_pid()
    for family in FAMILIES:
        is_blocked(f"{title}, {family}, before", INSIDE[family])
    with Client(INSIDE["IPv4"]) as old:
        check_that(f"{title}: one who is there before", b"**" in old.reply())
        way(path)
        said = old.say("EHLO client")
        check_that(f"{title}: keeps what he had", said[:3] in (b"500", b"502"), said)
    check_that(f"{title}: the file says so", "\nno fixup protocol smtp 25\n" in read(path), read(path))
    check(f"{title}: the same process", guard_pid(), pid)
    for family in FAMILIES:
        tls.mail_in_tls_unseen(f"{title}, {family}, after", INSIDE[family], message, CERT)
    # Whoever starts the device anew finds it as it was left.
    lab("guard", "stop")
    lab("guard", "start", "--config", path)
    tls.mail_in_tls_unseen(f"{title}, started anew", INSIDE["IPv6"], message, CERT)
    said, status = consoles.script("enable\ncisco\nconfigure terminal\nfixup protocol smtp 25\nfixup protocl\nshow conn\n")
    check(f"{title}: a script with a mistake", status, 1)
    check_that(f"{title}: its line is named", "5" in said and "Type help or '?'" in said, said)
    is_blocked(f"{title}, guarded again", INSIDE["IPv4"])
said, status = consoles.script("enable\nwrong\n")
check("a wrong password", (status, "Invalid password" in said), (1, True))
lab("guard", "stop")
check("nobody there", consoles.script("show version\n")[1], 2)
done()
