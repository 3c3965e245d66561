"""A real rsyslog receives and parses what the guard logs, over UDP and TCP; a file gets the same as JSON. The guard is
in its jail all the while, and a host that comes back is found again."""

import json
import os
import re

import watchers
from lab import (INSIDE, IS_BRIDGE, Client, Server, check, check_that, done, guard, guard_pid, lab, read, skip,
                 temp_dir, wait_for, whole_lines)

if IS_BRIDGE:
    skip("a bridge has no address from which it could send")

place = temp_dir()
log = os.path.join(place, "log")
rsyslog = watchers.Rsyslog().start()
guard("asa94", *watchers.hosts("udp"), *watchers.hosts("tcp"), "--log-file", log, "--log-json",
      "--set", "partial-lines=stream", "--log-level", "debugging")


def found(by, pattern):
    """The messages that came that way and fit."""
    return [one for one in rsyslog.messages(by) if re.fullmatch(pattern, one["tag"] + one["text"])]


def arrives(by, title, pattern, severity):
    """One such message arrives, in the facility and with the severity that it has to have."""
    try:
        one = wait_for(title, lambda: found(by, pattern))[0]
    except TimeoutError:
        seen = [m["tag"] + m["text"] for m in rsyslog.messages(by)][-8:]
        check_that(f"{by}: {title}", False, f"not in {seen}")
        return
    check(f"{by}: {title}", (one["facility"], one["severity"], one["pri"]),
          ("local4", str(severity), str(160 + severity)))
    check_that(f"{by}: {title}: its time was understood", re.match(r"20\d\d-\d\d-\d\dT", one["time"]), one["time"])


with Server() as server:
    with Client(INSIDE["IPv4"]) as client:
        client.reply()
        client.say("EHLO client")
        client.say("XYZZY")
        client.say("QUIT")
        client.rest()
    with Client(INSIDE["IPv6"]) as client:
        client.reply()
        client.send(b"HELO " + b"a" * 600 + b"\r\n")
        wait_for("the class drops it", lambda: found("udp", r"%ASA-4-108004.*"))
    with Client(INSIDE["IPv4"]) as client:
        client.reply()
        for line in ("EHLO client", "MAIL FROM:<a@outside.example> SIZE=20", "RCPT TO:<b@inside.example>", "DATA"):
            client.say(line)
        check("a message longer than declared passes", client.say(b"Subject: one\r\n\r\n..dot\r\n.\r\n")[:3], b"250")
        client.say("QUIT")
        client.rest()

CLIENT, HOST = r"outside:192\.0\.2\.10/\d+", r"inside:198\.51\.100\.10/25"
CLIENT6, HOST6 = r"outside:2001:db8:1::10/\d+", r"inside:2001:db8:2::10/25"
for by in ("udp", "tcp"):
    arrives(by, "a connection begins",
            rf"%ASA-6-302013: Built inbound TCP connection 1 for {CLIENT} \(192\.0\.2\.10/\d+\) to {HOST} "
            r"\(198\.51\.100\.10/25\)", 6)
    arrives(by, "and ends", rf"%ASA-6-302014: Teardown TCP connection 1 for {CLIENT} to {HOST} "
            r"duration 0:00:0\d bytes [1-9]\d+ TCP FINs from (inside|outside)", 6)
    arrives(by, "a command is refused",
            rf"%MAILGUARD-6-100005: Refused SMTP command unknown from {CLIENT} to {HOST}", 6)
    arrives(by, "a class matches",
            rf"%ASA-4-108004: ESMTP Classification: Dropped connection for ESMTP Request from {CLIENT6} to {HOST6}; "
            "matched Class 1: cmd line length gt 512", 4)
    arrives(by, "a message is longer than declared", rf"%ASA-7-108006: Detected ESMTP size violation from {CLIENT} to {HOST}; "
            "declared size is: 20, actual size is 22", 7)
    arrives(by, "the inspector ends the connection",
            rf"%ASA-4-507003: tcp flow from {CLIENT6} to {HOST6} terminated by inspection engine, "
            r"reason - inspector disconnected, dropped packet\.", 4)
    arrives(by, "and so it ends", rf"%ASA-6-302014: Teardown TCP connection 2 for {CLIENT6} to {HOST6} "
            r"duration 0:00:\d\d bytes \d+ Flow closed by inspection", 6)
built = wait_for("the file has it too", lambda: [one for one in map(json.loads, whole_lines(log)) if one["id"] == 302013])[0]
check("JSON names the connection", (built["connection"], built["client_interface"], built["server"], built["level"]),
      (1, "outside", "198.51.100.10:25", "informational"))

# The jail holds: only the logger has another filter, and none has a capability.
pid = guard_pid()
for thread in sorted(os.listdir(f"/proc/{pid}/task"), key=int):
    status = read(f"/proc/{pid}/task/{thread}/status")
    name = re.search(r"^Name:\s+(.*)$", status, re.M).group(1)
    held = re.findall(r"^(CapEff|NoNewPrivs|Seccomp):\s+(\S+)", status, re.M)
    check(f"{name} is jailed", held, [("CapEff", "0" * 16), ("NoNewPrivs", "1"), ("Seccomp", "2")])

# rsyslog goes away and comes back.
rsyslog.stop()
with Server(), Client(INSIDE["IPv4"]) as client:
    client.reply()
    client.say("WHILE-IT-WAS-AWAY")
    client.say("QUIT")
before = len(rsyslog.messages("tcp"))
rsyslog.start()
with Server(), Client(INSIDE["IPv4"]) as client:
    client.reply()
    client.say("QUIT")
    client.rest()
wait_for("TCP is found again", lambda: len(rsyslog.messages("tcp")) > before, 30)
arrives("tcp", "the connection after it is told",
        rf"%ASA-6-302013: Built inbound TCP connection 5 for {CLIENT} .*", 6)

# Mail addresses are not shown.
guard("pix6x", *watchers.hosts("udp"))
with Server(), Client(INSIDE["IPv4"]) as client:
    client.reply()
    client.say("MAIL FROM:<a|b@outside.example>")
    client.say("QUIT")
    client.rest()
arrives("udp", "an address is redacted",
        r"%PIX-2-108002: SMTP replaced \|: out 192\.0\.2\.10 in 198\.51\.100\.10 data: <redacted>", 2)
check("none is shown", found("udp", ".*outside.example.*"), [])

# A flood of refusals is cut, and every one of them is accounted for. Mail addresses are shown now.
rsyslog.forget()
guard("pix6x", *watchers.hosts("udp"), "--log-rate", "20", "--log-addresses")
with Server() as server, Client(INSIDE["IPv4"]) as client:
    client.reply()
    client.send(b"XYZZY\r\n" * 5000)
    client.say("QUIT")
    client.rest()
# What comes in one packet with a flood may be lost with it.
with Server(), Client(INSIDE["IPv4"]) as client:
    client.reply()
    client.say("MAIL FROM:<a|b@outside.example>")
    client.say("QUIT")
    client.rest()


def counted():
    """Refusals that were logged, suppressed by the limit, and lost because too many came at once."""
    numbers = [sum(int(re.search(rf"{word} (\d+)", one["text"]).group(1)) for one in found("udp", pattern))
               for word, pattern in (("Suppressed", r"%MAILGUARD-4-100002: Suppressed \d+ messages? 100005 .*"),
                                     ("Lost", r"%MAILGUARD-4-100003: Lost \d+ reports: .*"))]
    return len(found("udp", r"%MAILGUARD-6-100005: Refused .*")), *numbers


try:
    wait_for("every refusal is accounted for", lambda: sum(counted()) == 5000)
finally:
    print(f"    {counted()}: logged, suppressed, lost")
check_that("few of 5000 refusals are logged", 0 < counted()[0] <= 200, f"{counted()}")
check_that("PIX speaks as PIX", found("udp", r"%PIX-6-302013: Built inbound .*"))
check_that("an address is shown when asked for",
           found("udp", r"%PIX-2-108002: SMTP replaced \|: out 192\.0\.2\.10 in 198\.51\.100\.10 "
                        r"data: <a\|b@outside\.example>"))
said = lab("guard", "stop")
check_that("it ends with its counters", "packets-in" in said, said)
wait_for("its last word arrives", lambda: found("udp", r"%MAILGUARD-5-100001: stopped"))
done()
