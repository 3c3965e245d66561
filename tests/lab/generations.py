"""What the tests of the personalities share."""

import array
import fcntl
import os
import re
import signal
import termios

import lab
from lab import stuffed, wait_for

# Words that the Mail Guard of the PIX refuses; later generations let some of them through.
TYPED = ("goodmorning", "EHLO client", "VRFY bob", "X-LINK2STATE LAST CHUNK={1}", "STARTTLS")
OK = b"250 OK\r\n"


def counters():
    """What the guard prints when it is asked."""
    before = lab.lab("guard", "log").count("Drops:")
    os.kill(lab.guard_pid(), signal.SIGUSR1)
    text = wait_for("counters", lambda: (lambda log: log if log.count("Drops:") > before
                                         and log.rstrip().split()[-2] == lab.LAST_COUNTER else "")(lab.lab("guard", "log")))
    return {name: int(value) for name, value in re.findall(r"^  (\S+)\s+(\d+)$", text, re.M)}


def drained(client):
    """Waits until the other end has acknowledged all that the client has sent, so that what comes next begins
    a packet."""
    waiting = array.array("i", [1])

    def is_empty():
        fcntl.ioctl(client.socket, termios.TIOCOUTQ, waiting)
        return waiting[0] == 0

    wait_for("all is acknowledged", is_empty, 30, pause=0.002)


def envelope(client, hello="HELO client", sender="alice@outside.example", recipient="bob@inside.example"):
    """Up to the reply to DATA."""
    for line, code in ((hello, b"250"), (f"MAIL FROM:<{sender}>", b"250"), (f"RCPT TO:<{recipient}>", b"250"),
                       ("DATA", b"354")):
        said = client.say(line)
        if not said.startswith(code):
            raise ConnectionError(f"{line}: {said!r}")


def send_mail(client, message, hello="HELO client"):
    """HELO to QUIT, the end of the mail data in a packet of its own, so that no PIX finds it split; returns the
    reply to the mail data."""
    envelope(client, hello)
    wire = stuffed(message)
    client.socket.sendall(wire[:-3])
    drained(client)
    client.socket.sendall(wire[-3:])
    accepted = client.reply()
    client.say("QUIT")
    return accepted
