"""Connections that end in other ways than QUIT end at both ends, and the guard forgets them."""

import socket
import struct
import threading

from lab import (FAMILIES, INSIDE, REFUSED, Client, Server, a_message, at_end, check, check_that, done,
                 guard, on, stuffed, wait_for)


class OneShot:
    """A server that accepts one connection and does with it what it is told."""

    def __init__(self, family, action):
        kind = socket.AF_INET6 if family == "IPv6" else socket.AF_INET
        with on("inside"):
            self.listener = socket.socket(kind)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("", 25))
        self.listener.listen()
        self.outcome = None
        self.thread = threading.Thread(target=self._run, args=(action,), daemon=True)
        self.thread.start()
        at_end(self.listener.close)

    def _run(self, action):
        connection, _ = self.listener.accept()
        connection.settimeout(10)
        with connection:
            try:
                self.outcome = action(connection)
            except OSError as why:
                self.outcome = type(why).__name__

    def result(self):
        """What the action returned, or the name of the error that ended it."""
        self.thread.join(15)
        self.listener.close()
        return self.outcome


def drain(connection):
    """Greets, reads to the end, says how it ended."""
    connection.sendall(b"220 here\r\n")
    while connection.recv(65536):
        pass
    return "end"


def abort(sock):
    """Closes with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


guard()
for family in FAMILIES:
    server = OneShot(family, drain)
    with Client(INSIDE[family]) as client:
        client.reply()
        client.send(b"HEL")
    check(f"{family}: the client closes within a command; the server reads", server.result(), "end")

    server = OneShot(family, drain)
    client = Client(INSIDE[family])
    client.reply()
    client.send(b"EXPN and no end of line")
    abort(client.socket)
    client.close()
    check(f"{family}: the client resets; the server reads", server.result(), "ConnectionResetError")

    server = OneShot(family, lambda c: c.sendall(b"421 too busy 20\r\n"))
    with Client(INSIDE[family]) as client:
        check(f"{family}: the server closes after a greeting", client.rest(), b"421 *********20\r\n")
    server.result()

    def greet_and_abort(connection):
        """A server that crashes."""
        connection.sendall(b"220 here\r\n")
        connection.recv(100)
        abort(connection)

    server = OneShot(family, greet_and_abort)
    with Client(INSIDE[family]) as client:
        client.reply()
        try:
            outcome = client.say("NOOP")
        except OSError as why:
            outcome = type(why).__name__
        check(f"{family}: the server resets; the client reads", outcome, "ConnectionResetError")
    server.result()

    # The client has said all and closes its half; the answers still come.
    with Server(), Client(INSIDE[family]) as client:
        client.reply()
        client.send(b"HELO client\r\nEHLO client\r\nNOOP\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        check(f"{family}: half closed, the replies come", client.rest(),
              b"250 mail.example.com Hello\r\n" + REFUSED + b"250 nothing done\r\n")

    # Within mail data.
    with Server() as server:
        client = Client(INSIDE[family])
        client.reply()
        for line in ("HELO c", "MAIL FROM:<a@b.example>", "RCPT TO:<b@b.example>", "DATA"):
            client.say(line)
        client.send(stuffed(a_message(500_000))[:400_000])
        abort(client.socket)
        client.close()
        check(f"{family}: aborted within mail data, no message", server.messages, [])
done()
