"""2 % loss on every wire, each way, with inspection and without, by turns: what is lost on the way to the
guard or behind it is repaired as fast as the two hosts would repair it without a guard."""

import time

from lab import FAMILIES, INSIDE, Client, Server, a_message, check, check_that, done, guard, lab, send_mail, sha256

message = a_message(20_000_000)
rates = {"off": [], "mailguard": []}
lab("loss", 2)
with Server() as server:
    server.keep_messages = False
    for turn in range(5):
        for personality, measured in rates.items():
            guard(personality)
            server.forget()
            since = time.monotonic()
            with Client(INSIDE[FAMILIES[turn % 2]], timeout=60) as client:
                client.reply()
                client.say("VRFY bob")
                send_mail(client, message)
            measured.append(len(message) * 8 / (time.monotonic() - since) / 1e6)
            check(f"{personality}: SHA-256", server.digests, [sha256(message)])
ratios = sorted(with_it / without for with_it, without in zip(rates["mailguard"], rates["off"]))
for name, measured in rates.items():
    print(f"    {name:9}: {' '.join(f'{rate:5.0f}' for rate in measured)} Mbit/s")
# Random loss scatters a single pair by a factor of two; a guard that hinders the repair, as one that
# lets the sender run into timeouts, costs a factor of ten.
check_that(f"median ratio {ratios[2]:.2f} of five pairs is at least 0.4", ratios[2] >= 0.4)
done()
