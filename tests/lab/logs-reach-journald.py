"""What the guard sends to journald is what journald's own protocol asks for. The socket is a stand-in's, in the test's
own mount namespace: the machine's journal gets nothing."""

import os
import socket
import subprocess

from lab import INSIDE, Client, Server, check, check_that, done, guard, skip

if not os.path.isdir("/run/systemd"):
    skip("there is no /run/systemd to lay a socket into")
subprocess.run(["mount", "-t", "tmpfs", "journal", "/run/systemd"], check=True)
os.mkdir("/run/systemd/journal")
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.bind("/run/systemd/journal/socket")
journal.settimeout(10)


def entry():
    """The fields of the next one."""
    text = journal.recv(65536).decode()
    check_that("it ends with a line end", text.endswith("\n"), repr(text))
    return dict(line.split("=", 1) for line in text.splitlines())


guard("mailguard", "--syslog", "journald")
first = entry()
check_that("it says that it guards", first["MESSAGE"].startswith("%MAILGUARD-5-100001: guarding "), first["MESSAGE"])
with Server(), Client(INSIDE["IPv4"]) as client:
    client.reply()
    client.say("QUIT")
built = entry()
check("a connection begins", {name: built[name] for name in ("PRIORITY", "SYSLOG_IDENTIFIER", "SYSLOG_FACILITY",
                                                             "MAILGUARD_ID", "MAILGUARD_CONNECTION", "MAILGUARD_SERVER")},
      {"PRIORITY": "6", "SYSLOG_IDENTIFIER": "mailguard", "SYSLOG_FACILITY": "20", "MAILGUARD_ID": "302013",
       "MAILGUARD_CONNECTION": "1", "MAILGUARD_SERVER": "198.51.100.10:25"})
check_that("in the words of the device", built["MESSAGE"].startswith("%ASA-6-302013: Built inbound TCP connection 1 for "),
           built["MESSAGE"])
done()
