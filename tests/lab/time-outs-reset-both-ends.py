"""Short time-outs: both kernels believe the resets of the guard, after lengths have changed too."""

import socket
import threading
import time

from lab import (FAMILIES, INSIDE, REFUSED, Client, check, check_that, done, guard, on, wait_for)


class Silent:
    """A server that answers commands one by one as it is told, and says how its connection ended."""

    def __init__(self, family):
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        if family == socket.AF_INET6:
            self.listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("", 25))
        self.listener.listen(8)
        self.ended = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        began = time.monotonic()
        connection.sendall(b"220 mail.example.com\r\n")
        try:
            while True:
                said = connection.recv(4096)
                if said:
                    connection.sendall(b"250 ok\r\n" * said.count(b"\n"))
                else:
                    # The client has closed: what will the other direction come to?
                    time.sleep(0.05)
                    connection.settimeout(8)
                    wait_for("the end", lambda: error(connection), 8)
                    raise ConnectionResetError
        except ConnectionResetError:
            self.ended.append(("reset", time.monotonic() - began))
        except OSError as why:
            self.ended.append((repr(why), time.monotonic() - began))


def error(connection):
    return connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def fate(client):
    """How the client's connection ends, and after how long."""
    began = time.monotonic()
    try:
        while client.socket.recv(4096):
            pass
        return "closed", time.monotonic() - began
    except ConnectionResetError:
        return "reset", time.monotonic() - began


guard("mailguard", "--timeout-conn", "3", "--timeout-half-closed", "0:00:02")
for family in FAMILIES:
    kind = socket.AF_INET6 if family == "IPv6" else socket.AF_INET
    with on("inside"):
        server = Silent(kind)
    client = Client(INSIDE[family])
    client.reply()
    # Three octets become six, and a reply of eight becomes a refusal of 26.
    for _ in range(5):
        check(f"{family}: X", client.say("X"), REFUSED)
    ended, after = fate(client)
    check(f"{family}: an idle client", ended, "reset")
    check_that(f"{family}: after its time", 2.5 < after < 6, f"but {after:.1f} s")
    wait_for("the server's end", lambda: server.ended)
    check(f"{family}: its server", server.ended[0][0], "reset")

    client = Client(INSIDE[family])
    client.reply()
    check(f"{family}: X again", client.say("X"), REFUSED)
    client.socket.shutdown(socket.SHUT_WR)
    ended, after = fate(client)
    check(f"{family}: a half-closed client", ended, "reset")
    check_that(f"{family}: after its time", 1.5 < after < 5, f"but {after:.1f} s")
    wait_for("the server's end", lambda: len(server.ended) == 2)
    check(f"{family}: its server", server.ended[1][0], "reset")
    server.listener.close()
done()
