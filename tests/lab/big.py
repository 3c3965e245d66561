"""What the tests with the big message share."""

import smtplib
import time

import jail
import lab
from lab import FAMILIES, INSIDE, Client, Server, a_message, check, check_that, guard, send_mail, sha256

SIZE = 100_000_000


def by_hand(families=FAMILIES, size=SIZE, personality="mailguard", title=""):
    """The scripted client to the scripted server, one message for each family."""
    message = a_message(size)
    wanted = sha256(message)
    guard(personality)
    with Server() as server:
        server.keep_messages = False
        for family in families:
            server.forget()
            since = time.monotonic()
            with Client(INSIDE[family]) as client:
                client.reply()
                client.say("VRFY bob")  # so that the offsets differ from here on
                check(f"{family}: accepted{title}", send_mail(client, message), b"250 message accepted\r\n")
            took = time.monotonic() - since
            check(f"{family}: SHA-256 of {len(message)} octets{title}", server.digests, [wanted])
            print(f"    {len(message) * 8 / took / 1e6:.0f} Mbit/s", flush=True)


def by_mail_servers(pairs, family="IPv4", size=SIZE):
    """One message from a real server outside to a real server inside, for each pair of classes."""
    message = a_message(size)
    guard()
    for client_class, server_class in pairs:
        server = server_class("inside").start()
        client = client_class("outside", relay=INSIDE[family]).start()
        since = time.monotonic()
        client.submit(message)
        arrived = jail.delivered(server, message, 120)
        check_that(f"{family}: {client.package} to {server.package}, {size} octets, equal SHA-256", arrived,
                   "" if arrived else "client's log:\n" + client.last_words())
        print(f"    {time.monotonic() - since:.1f} s", flush=True)
        client.stop()
        server.stop()
