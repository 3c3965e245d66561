"""Prometheus' own checker accepts the exposition and the alert examples; the numbers are those of what happened."""

import os
import re

import watchers
from lab import (INSIDE, ROOT, Client, Server, a_message, check, check_that, done, guard, guard_pid, lab, read,
                 send_mail)

promtool = watchers.Promtool()
guard("mailguard", "--workers", "2", "--metrics", "127.0.0.1:9100", "--log-file", "/dev/null")
message = a_message(2_000_000)
with Server(), Client(INSIDE["IPv4"]) as client:
    client.reply()
    client.say("EHLO client")
    client.say("HELP")
    client.say("HELP")
    client.say("PLUGH")
    send_mail(client, message)

head, text = watchers.get("/metrics")
check_that("it answers", head.startswith("HTTP/1.1 200 OK\r\n"), head)
check("promtool has no complaint", promtool.check("metrics", input=text), (0, ""))
status, said = promtool.check("rules", os.path.join(ROOT, "netns/monitoring/alerts.yml"))
check_that("promtool takes the alert examples", status == 0 and "8 rules found" in said, said)


def total(pattern):
    """The sum over the workers."""
    return sum(float(n) for n in re.findall(rf"^{pattern} (\S+)$", text, re.M))


for name, want in (
    (r'mailguard_refusals_total\{worker="\d",verb="HELP"\}', 2),
    (r'mailguard_refusals_total\{worker="\d",verb="EHLO"\}', 1),
    (r'mailguard_refusals_total\{worker="\d",verb="other"\}', 1),
    (r'mailguard_edits_total\{worker="\d",kind="commands-refused"\}', 4),
    (r'mailguard_edits_total\{worker="\d",kind="greetings-masked"\}', 1),
    (r'mailguard_connections_built_total\{worker="\d"\}', 1),
    (r'mailguard_log_messages_total\{id="302013"\}', 1),
):
    check(name, total(name), want)
check("each worker is there", set(re.findall(r'mailguard_packets_received_total\{worker="(\d)"\}', text)), {"0", "1"})
octets = total(r'mailguard_payload_received_bytes_total\{worker="\d"\}')
check_that("the octets of the message are counted", octets >= len(message), f"{octets}")
received = total(r'mailguard_packets_received_total\{worker="\d"\}')
timed = total(r'mailguard_packet_duration_seconds_count\{worker="\d"\}')
check_that("packets are timed, one in 64", received / 64 - 2 <= timed <= received / 64, f"{timed} of {received}")
memory = total("process_resident_memory_bytes")
check_that("memory is told", memory > 1 << 20, f"{memory}")

# The jail holds: who answers has another filter than the rest, and no capability either.
pid = guard_pid()
for thread in sorted(os.listdir(f"/proc/{pid}/task"), key=int):
    status = read(f"/proc/{pid}/task/{thread}/status")
    held = re.findall(r"^(CapEff|NoNewPrivs|Seccomp):\s+(\S+)", status, re.M)
    name = re.search(r"^Name:\s+(.*)$", status, re.M).group(1)
    check(f"{name} is jailed", held, [("CapEff", "0" * 16), ("NoNewPrivs", "1"), ("Seccomp", "2")])
check_that("nothing else is there", watchers.get("/")[0].startswith("HTTP/1.1 404 "))
for _ in range(20):
    watchers.get("/metrics")
said = lab("guard", "stop")
check_that("it ends with its counters", "packets-in" in said, said)
done()
