"""Keeps a Postfix in the middle namespace: takes mail from everybody and hands it on to the server.

    postfix.py SERVER-IPv4 SERVER-IPv6

Started by modes.py in a mount namespace of its own. Says `ready`, answers every line on its standard input with
`empty` or `busy`, and ends with its input. The Postfix is that of the lab's tests (tests/lab/jail.py).
"""

import collections
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "lab"))

import jail  # noqa: E402
import lab  # noqa: E402

QUEUES = ("maildrop", "incoming", "active", "deferred", "bounce", "corrupt")


class Postfix(jail.Postfix):
    """One that may log as much as it likes: what is written costs it what it always costs, and only the end of it is kept."""

    def __init__(self, *words, **options):
        self.words = collections.deque(maxlen=50)
        super().__init__(*words, **options)

    def _syslog(self, logger):
        while True:
            self.words.append(logger.recv(65536))

    def said(self):
        return super().said() + b"\n".join(self.words).decode(errors="replace")


def queue_is_empty(postfix):
    """Whether no mail waits, is under way or came to grief. Queues are looked at in the order in which mail goes
    through them, so none is missed on its way."""
    for queue in QUEUES:
        for _, _, files in os.walk(postfix.path("var/spool/postfix", queue)):
            if files:
                return False
    return True


def main():
    v4, v6 = sys.argv[1:]
    # Whatever ends it, what it has mounted and made goes.
    signal.signal(signal.SIGTERM, lambda *_: lab.done())
    # The domain says over which family a mail goes on; rows.py chooses it.
    postfix = Postfix("middle", relay={"v4.example.net": v4, "v6.example.net": v6}, extra=(
        "mynetworks = 0.0.0.0/0 [::]/0",
        "debug_peer_list =",
        # A load is no attack, and commands in a row are what is measured.
        "default_process_limit = 400",
        "smtpd_junk_command_limit = 1000000000",
        "smtpd_client_connection_rate_limit = 0",
        "smtpd_client_message_rate_limit = 0",
        "in_flow_delay = 0",
        "qmgr_message_active_limit = 200000",
        "default_destination_concurrency_limit = 50",
    ))
    postfix.start()
    print("ready", flush=True)
    for _ in sys.stdin:
        print("empty" if queue_is_empty(postfix) else "busy", flush=True)
    lab.done()


main()
