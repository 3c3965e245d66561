"""The guard is killed under traffic: nothing passes any more, until a new guard comes."""

import contextlib
import socket
import threading
import time

from lab import (FAMILIES, INSIDE, IS_BRIDGE, Client, Server, a_message, check, check_that, done, guard, lab,
                 run, send_mail, wait_for)


def connects(address):
    """Whether a new connection reaches the server within two seconds."""
    with contextlib.suppress(OSError):
        Client(address, timeout=2).close()
        return True
    return False


def main():
    guard("mailguard", "--fail-closed")
    with Server() as server:
        running = {}
        for family in FAMILIES:
            running[family] = Client(INSIDE[family], timeout=2)
            running[family].reply()
            running[family].say("HELO client")
        # Bulk in flight while the guard dies.
        bulk = Client(INSIDE["IPv4"], timeout=5)
        bulk.reply()

        def load():
            with contextlib.suppress(OSError):
                send_mail(bulk, a_message(400_000_000))

        threading.Thread(target=load, daemon=True).start()
        time.sleep(0.3)
        lab("guard", "kill")

        time.sleep(0.2)
        before = len(server.transcript)
        for family, client in running.items():
            try:
                said = client.say("NOOP")
                check_that(f"{family}: a running connection stands still", False, f"but it read {said!r}")
            except (TimeoutError, socket.timeout, OSError):
                check_that(f"{family}: a running connection stands still", True)
            check(f"{family}: a new connection gets through", connects(INSIDE[family]), False)
        check("commands that reached the server after the kill", len(server.transcript) - before, 0)
        if IS_BRIDGE:
            # Nobody but the guard brings anything over a bridge, and there is no leg to delete.
            check("what is not mail passes", not_mail_passes(), False)
            return open_again()
        check_that("what is not mail still passes", not_mail_passes())
        # Even if someone deletes the legs: the blackhole is behind the routes that go with them.
        for leg in ("mg-outside", "mg-inside"):
            run("guard", "ip", "link", "del", leg)
        for family in FAMILIES:
            check(f"{family}: without legs a new connection gets through", connects(INSIDE[family]), False)

        open_again()


def open_again():
    """The way opens again only with a guard in it."""
    guard("mailguard", "--fail-closed")
    for family in FAMILIES:
        check(f"{family}: with a new guard a new connection gets through",
              wait_for("a connection", lambda f=family: connects(INSIDE[f])), True)
    lab("guard", "stop")
    for family in FAMILIES:
        check(f"{family}: nor after an orderly stop", connects(INSIDE[family]), False)


def not_mail_passes():
    """A server on another port is not the guard's business."""
    try:
        with Server(port=2525), Client(INSIDE["IPv4"], port=2525, timeout=3) as client:
            return client.reply().startswith(b"220 mail.example.com")
    except OSError:
        return False


main()
done()
