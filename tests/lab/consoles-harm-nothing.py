"""Console clients that hang, flood, talk nonsense or go away in the middle, on the Unix socket and by telnet, while the guard is
under load: every mail passes whole, and who has something to ask is answered."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading

from lab import (INSIDE, MAILGUARD, ROOT, check, check_that, done, forget_connections, guard_pid, guard_rss,
                 lab, on, read, run, start, temp_dir, wait_for)

PORT = 2323
# Fewer than the guard serves at a time, so that an operator finds room.
HANGING = 8
RUNS = 6


def console(script):
    ran = subprocess.run([os.path.join(ROOT, "netns", "lab"), "console"], input="enable\n\n" + script, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    return ran.stdout, ran.returncode


def socket_path():
    """Where the guard's console listens."""
    words = read(f"/proc/{guard_pid()}/cmdline").split("\0")
    return words[words.index("--console") + 1]


def local():
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(2)
    client.connect(PATH)
    return client


def telnet():
    with on("guard"):
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.settimeout(2)
    client.connect(("127.0.0.1", PORT))
    return client


def ask(line):
    return json.dumps({"ask": "line", "line": line}).encode() + b"\n"


def pour(client, octets, times):
    """Writes so much, and reads nothing; until nobody takes it."""
    with contextlib.suppress(OSError):
        for _ in range(times):
            client.sendall(octets)


def one_of_each(hanging):
    """Comes, does harm, and goes; or stays."""
    for make in (local, telnet):
        with contextlib.suppress(OSError):
            for octets in (b"", b"\0" * 100_000, b"\xff\xfd\x18\xff\xfa" * 20_000, b"[" * 100_000, b"x" * 1_000_000):
                with make() as client:
                    pour(client, octets, 1)
            with make() as client:
                pour(client, b"cisco\r\n", 200)
            with make() as client:
                client.sendall(b'{"ask":"line","li')
    with contextlib.suppress(OSError), local() as client:
        pour(client, ask("enable") + ask("") + ask("show tech-support") * 50, 20)
    if len(hanging) < HANGING:
        with contextlib.suppress(OSError):
            client = local()
            client.settimeout(0.2)
            hanging.append(client)
            # It asks for much and reads nothing of it.
            pour(client, ask("enable") + ask("") + ask("debug esmtp") + ask("show tech-support") * 200, 5)
    with contextlib.suppress(OSError):
        hanging.append(telnet())


class Harm(threading.Thread):
    def __init__(self):
        super().__init__()
        self.ends, self.hanging, self.times = threading.Event(), [], 0

    def run(self):
        while not self.ends.is_set():
            one_of_each(self.hanging)
            self.times += 1


where = temp_dir()
path = f"{where}/startup"
with open(path, "w") as file:
    file.write("personality mailguard\nhostname gate\npasswd letmein\n")
forget_connections()
lab("guard", "start", "--config", path, "--telnet", str(PORT))
PATH = socket_path()
pid = guard_pid()
sink = start("inside", MAILGUARD, "sink", "--listen", "[::]:25", "--expect-load", "--json", log=f"{where}/sink")
wait_for("the sink", lambda: run("inside", "ss", "-Hltn", "sport = :25").stdout)
console("show version\n")
rested = guard_rss()
harm = Harm()
harm.start()
for number in range(RUNS):
    host = (INSIDE["IPv4"], f"[{INSIDE['IPv6']}]")[number % 2]
    ran = run("outside", MAILGUARD, "load", f"{host}:25", "--connections", "40", "--messages", "5", "--size", "50K", "--count", "400")
    check_that(f"load {number} ends well", ran.returncode == 0, ran.stdout[-500:])
    said, status = console("show counters\nshow conn count\n")
    check_that(f"an operator is answered, {number}", status == 0 and "flows-built" in said, said[:300])
wait_for("harm", lambda: harm.times >= 3, 60)
check("the same guard", guard_pid(), pid)
rss = guard_rss()
print(f"    {harm.times} rounds, {len(harm.hanging)} hang; RSS in KiB: {rested}, then {rss}", flush=True)
check_that("memory stays small", rss < rested + 128 * 1024, f"{rested} then {rss} KiB")
harm.ends.set()
harm.join()
for client in harm.hanging:
    client.close()
said, status = console("show counters\n")
counters = dict(line.split() for line in said.splitlines() if len(line.split()) == 2)
check("afterwards an operator is answered", status, 0)
check("packets that were dropped", {name: counters.get(name, "0") for name in ("belt-full", "leg-full", "tcp-not-syn")},
      {"belt-full": "0", "leg-full": "0", "tcp-not-syn": "0"})
check("flows that panicked", counters.get("flow-panics", "0"), "0")
sink.send_signal(signal.SIGTERM)
sink.wait(10)
said = read(f"{where}/sink")
totals = json.loads(said[said.index("{"):])
check("messages", (totals["messages"], totals["checked"], totals["check_failures"]), (400 * RUNS, 400 * RUNS, 0))
done()
