"""A server with a small window that stops reading in the middle: nothing is lost, nothing runs over."""

import hashlib
import socket
import threading
import time

from lab import FAMILIES, INSIDE, REFUSED, Client, a_message, at_end, check, check_that, done, guard, guard_rss, on, send_mail, sha256

message = a_message(10_000_000)


def serve(listener, result):
    """Takes one message, in sips."""
    connection, _ = listener.accept()
    connection.settimeout(30)
    with connection, connection.makefile("rb", 2048) as file:
        connection.sendall(b"220 slow\r\n")
        for reply in (b"250 noop\r\n", b"250 helo\r\n", b"250 mail\r\n", b"250 rcpt\r\n", b"354 go\r\n"):
            file.readline()
            connection.sendall(reply)
        digest = hashlib.sha256()
        count = 0
        while (line := file.readline()) not in (b".\r\n", b""):
            digest.update(line[1:] if line.startswith(b".") else line)
            count += 1
            if count in (100, 20_000):
                time.sleep(2)  # the window closes, and the sender has to probe it
        connection.sendall(b"250 got it\r\n")
        file.readline()
        connection.sendall(b"221 bye\r\n")
    result.append(digest.hexdigest())


guard()
for family in FAMILIES:
    with on("inside"):
        listener = socket.socket(socket.AF_INET6 if family == "IPv6" else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.bind(("", 25))
    listener.listen()
    result = []
    threading.Thread(target=serve, args=(listener, result), daemon=True).start()
    with Client(INSIDE[family]) as client:
        client.reply()
        check(f"{family}: a refusal", client.say("x"), REFUSED)
        check(f"{family}: accepted", send_mail(client, message), b"250 got it\r\n")
    listener.close()
    time.sleep(0.1)
    check(f"{family}: SHA-256", result, [sha256(message)])
check_that("the guard did not hoard it", guard_rss() < 200 * 1024, f"{guard_rss()} KiB")
done()
