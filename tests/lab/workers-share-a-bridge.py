"""Three workers on a bridge, which look for packets before they sleep: the kernel brings every connection to the worker that
owns it, so none hands a packet to another."""

import os

import lab
from lab import FAMILIES, INSIDE, REFUSED, Client, Server, at_end, check, check_that, done

# This lab is one beside the others, whose guard bridges.
lab.PREFIX = f"{lab.PREFIX}-w"
os.environ.update(MAILGUARD_LAB=lab.PREFIX, MAILGUARD_LAB_DEVICE="bridge")
lab.IS_BRIDGE = True

import generations

lab.lab("down")
lab.lab("up")
at_end(lambda: lab.lab("down"))
lab.guard("mailguard", "--workers", "3", "--busy-poll", "200")
with Server():
    refused = 0
    for _ in range(20):
        for family in FAMILIES:
            with Client(INSIDE[family]) as client:
                client.reply()
                refused += client.say("EXPN staff") == REFUSED
check("refusals", refused, 40)
counted = generations.counters()
check("connections", counted["flows-built"], 40)
check("packets handed over", counted["packets-handed-over"], 0)
check_that("ARP and ND have passed", counted["frames-relayed"] > 0)
done()
