"""The rows: one kind of load each, made by our own `mailguard load` and `mailguard sink`, or by Postfix's
smtp-source and smtp-sink. A measurement whose mails did not all arrive is Trouble."""

import contextlib
import json
import os
import re
import resource
import signal
import sys
import time

import bed
from bed import MTA, MAILGUARD, PORT, ROOT, Trouble

TICKS = os.sysconf("SC_CLK_TCK")
SIZES = {"1k": 1 << 10, "100k": 100 << 10}
DRAIN = 180.0


# --- what the machine spent -------------------------------------------------------------------------


def box_seconds():
    """CPU seconds of the whole machine: user, nice, system, irq, softirq."""
    with open("/proc/stat") as file:
        words = list(map(int, file.readline().split()[1:]))
    return (words[0] + words[1] + words[2] + words[5] + words[6]) / TICKS


def own_seconds(pids):
    """CPU seconds of processes, and of those of their children that have ended."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
            ticks += sum(map(int, file.read().rsplit(")", 1)[1].split()[11:15]))
    return ticks / TICKS


def resident_mib(pids):
    """Resident memory."""
    kib = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as file:
            kib += int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))
    return kib / 1024


def raise_open_files():
    """As many open files as may be, for this process and all that it starts."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (262_144, 262_144))
    except (OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def open_files():
    """How many a process may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def repeats(mode):
    """Segments that the client's kernel, and a proxy's, has sent again."""
    return sum(kernel_counter(mode, side, "snmp", "Tcp:", "RetransSegs") for side in ("client", "middle"))


def kernel_counter(mode, side, file, protocol, name):
    """What the kernel of a side has counted."""
    names, values = [line.split() for line in mode.row.exec(side, "cat", f"/proc/net/{file}").splitlines()
                     if line.startswith(protocol)]
    return int(values[names.index(name)])


class Spent:
    """CPU seconds between two moments, and what got lost on the way."""

    def __init__(self, mode):
        self.mode = mode
        self.repeats = repeats(mode)
        self.box, self.own = box_seconds(), own_seconds(mode.row.pids())

    def stop(self):
        """What has been spent since."""
        spent = {"cpu_box": box_seconds() - self.box,
                 "cpu_own": own_seconds(self.mode.row.pids()) - self.own}
        return {**spent, "repeats": repeats(self.mode) - self.repeats}


# --- our own load -----------------------------------------------------------------------------------


class Sink:
    """`mailguard sink` in the server's namespace, for one measurement."""

    def __init__(self, mode, *options):
        self.process = mode.row.start("server", MAILGUARD, "sink", "--expect-load", "--json",
                                      "--listen", f"[::]:{PORT}", *options)
        self.process.wait_for("listening")

    def totals(self):
        """Ends it; what it counted."""
        self.process.popen.send_signal(signal.SIGTERM)
        self.process.wait(30)
        return parsed(self.process)


def parsed(process):
    """The JSON object that a program of ours prints at its end."""
    try:
        return json.loads(process.said(process.out))
    except ValueError:
        raise Trouble(f"{process.name} reported nothing, but said: {process.said()[-300:]}") from None


def address(mode, family):
    """The target as a program takes it."""
    where = mode.target(family)
    return f"[{where}]:{PORT}" if ":" in where else f"{where}:{PORT}"


def load(mode, family, *options, seconds, meanwhile=contextlib.nullcontext):
    """Runs the load; what it reports, what the sink has counted, and what was spent. What happens `meanwhile` begins when
    the sink listens."""
    sink = Sink(mode)
    # For who stores mail and looks for its way anew.
    to = f"sink@{'v6' if family == 'IPv6' else 'v4'}.example.net"
    try:
        with meanwhile():
            spent = Spent(mode)
            began = time.time()
            # HELO and not EHLO: what a mode does with the reply to EHLO must not change the load.
            process = mode.row.start("client", MAILGUARD, "load", address(mode, family), "--helo", "--json",
                                     "--interval", "0", "--timeout", "30", "--to", to, *options)
            status = process.wait(seconds + 90)
            report = parsed(process)
            if status != 0 or report["errors"]["total"]:
                raise Trouble(f"load: {report['errors']['kinds']}")
            if mode.stores:
                wait_until_delivered(mode)
            spent = spent.stop()
    finally:
        totals = sink.totals()
    check(report, totals)
    took = report["seconds"]
    if mode.stores and totals.get("last_message"):
        took = max(took, totals["last_message"] - began)
    return report, took, spent


def wait_until_delivered(mode):
    """Until the queue of a mode that stores is empty."""
    end = time.monotonic() + DRAIN
    while not mode.is_empty():
        if time.monotonic() > end:
            raise Trouble(f"its queue was not empty after {DRAIN:.0f} s")
        time.sleep(0.02)


def check(report, totals):
    """Everything that the client was told is accepted has arrived, once and unchanged."""
    wanted = {"messages": report["messages"], "checked": report["messages"], "check_failures": 0,
              "aborted_messages": 0, "unknown_commands": 0, "bare_cr": 0, "bare_lf": 0}
    wrong = {name: (totals[name], number) for name, number in wanted.items() if totals[name] != number}
    if wrong or report["messages_failed"]:
        raise Trouble("did not all arrive: " + ", ".join(
            f"{name} {got} instead of {number}" for name, (got, number) in wrong.items()))


class Flood:
    """SYNs of nobody, by which the table of half-open connections is full before anything is measured: each new one
    then makes the guard forget the oldest. It is Trouble when fewer than half of them came to the server, as a machine that
    is too busy would have it, or took the place of another."""

    def __init__(self, mode):
        self.mode = mode

    def counted(self):
        """SYNs that the server has answered with a cookie, as it does when it has no room, and half-open connections that
        the guard has forgotten."""
        forgotten = self.mode.counters()["embryonic-forgotten"] if self.mode.has_table else 0
        return kernel_counter(self.mode, "server", "netstat", "TcpExt:", "SyncookiesSent"), forgotten

    def __enter__(self):
        row = self.mode.row
        # The answers find a way back, and end at the client, whose addresses these are not.
        row.ip("middle" if self.mode.routed else "server", "route", "replace", "10.0.0.0/8", "via", bed.host("IPv4", 0, 10))
        self.process = row.start("client", sys.executable, os.path.join(ROOT, "benches", "syns.py"), row.server("IPv4"))
        try:
            self.process.wait_for("flooding", 60)
            self.before, self.began = self.counted(), time.monotonic()
        except Trouble:
            self.process.stop()
            raise
        return self

    def __exit__(self, kind, *_):
        self.process.popen.send_signal(signal.SIGTERM)
        self.process.wait(10)
        if kind:
            return
        took = time.monotonic() - self.began
        syns = parsed(self.process)["syns"]
        answered, forgotten = (after - before for after, before in zip(self.counted(), self.before))
        if answered < syns / 2 or self.mode.has_table and forgotten < syns / 2:
            raise Trouble(f"of {syns} SYNs {answered} came, and {forgotten} took the place of another")
        self.per_second = answered / took


# --- rows -------------------------------------------------------------------------------------------


class Row:
    """One row. `unit` is the figure's; more is better unless `less_is_better`."""

    less_is_better = False
    # In how many rounds it is measured at most.
    rounds_max = 1000

    def __init__(self, name, unit, title, family="IPv4"):
        self.name, self.unit, self.title, self.family = name, unit, title, family

    def why_not(self, mode):
        """Why it is not measured for a mode, or None."""
        return None

    def measure(self, mode, settings):
        """One measurement: a dictionary, in which `figure` is the row's figure."""
        raise NotImplementedError


class Bulk(Row):
    """Some big messages at once."""

    def __init__(self, name, connections, title, family="IPv4"):
        super().__init__(name, "Gbit/s", title, family)
        self.connections = connections

    def measure(self, mode, settings):
        size = settings.bulk // self.connections
        report, took, spent = load(mode, self.family, "--connections", self.connections,
                                   "--count", self.connections, "--size", size, seconds=120)
        if report["messages"] != self.connections:
            raise Trouble(f"{report['messages']} messages instead of {self.connections}")
        octets = report["octets"]
        return {"figure": octets * 8e-9 / took, "seconds": took, "octets": octets, **per(spent, octets / 1e9)}


class Mails(Row):
    """Small mails one after the other over some connections."""

    def __init__(self, name, size, connections, pipelined, many, title, family="IPv4"):
        super().__init__(name, "mails/s", title, family)
        self.options = ["--connections", connections, "--size", SIZES[size],
                        "--pipelining", "force" if pipelined else "off",
                        "--messages", 1 << 40 if many else 1]

    def measure(self, mode, settings):
        report, took, spent = load(mode, self.family, *self.options, "--duration", settings.seconds,
                                   seconds=settings.seconds)
        mails = report["messages"]
        if not mails:
            raise Trouble("not one mail")
        micros = report["latency_us"]["transaction"]
        return {"figure": mails / took, "seconds": took, "mails": mails, "p50_us": micros["p50"],
                "p99_us": micros["p99"], **per(spent, mails / 1000)}


class Noop(Row):
    """Round trips of NOOP."""

    less_is_better = True

    def __init__(self, name, connections, title, family="IPv4"):
        super().__init__(name, "µs (median)", title, family)
        self.connections = connections

    def why_not(self, mode):
        return "it would answer by itself" if mode.stores else None

    def measure(self, mode, settings):
        return self.measure_for(settings.seconds, mode)

    def measure_for(self, seconds, mode, meanwhile=contextlib.nullcontext):
        """The same for so long."""
        report, took, spent = load(mode, self.family, "--connections", self.connections, "--messages", 0,
                                   "--noop", (1 << 32) - 1, "--duration", seconds,
                                   seconds=seconds, meanwhile=meanwhile)
        micros = report["latency_us"]["noop"]
        if not micros:
            raise Trouble("not one NOOP")
        return {"figure": micros["p50"], "p99": micros["p99"], "p99_9": micros["p99_9"],
                "round_trips": micros["count"], "per_second": micros["count"] / took,
                **per(spent, micros["count"] / 1000)}


class NoopInFlood(Noop):
    """The same while SYNs of nobody come."""

    def why_not(self, mode):
        return "it would be the end of the flood and not its way" if mode.is_proxy else None

    def measure(self, mode, settings):
        flood = Flood(mode)
        try:
            # A SYN of the load's own may be lost among them, and is repeated after one and after three seconds.
            measured = self.measure_for(settings.seconds + 4, mode, lambda: flood)
        finally:
            # What comes next finds an empty table.
            mode.restart()
        return {**measured, "syns_per_second": flood.per_second}


class Memory(Row):
    """Resident memory with idle connections, of a process that has just been started."""

    less_is_better = True
    # It hardly differs from round to round, and takes long.
    rounds_max = 2

    def __init__(self, name, connections, title):
        super().__init__(name, "MiB", title)
        self.connections = connections

    def why_not(self, mode):
        if not mode.has_memory:
            return "there is no process to look at" if not mode.stores else "it has a process for each connection"
        # Two sockets for each connection, in one process.
        if mode.is_proxy and self.connections > mode.connections_max():
            return f"the {open_files():,} open files that a process may have here are not enough for it"
        return None

    def measure(self, mode, settings):
        mode.restart()
        time.sleep(0.5)
        if not self.connections:
            return {"figure": resident_mib(mode.row.pids())}
        # Several of each: a process may have few files open, and the kernel looks long for a port of an address
        # when half of them are taken. The sinks share the server's port.
        parts = -(-self.connections // min(10_000, int(0.6 * open_files())))
        sinks, loads, reports = [], [], []
        try:
            sinks = [Sink(mode, "--threads", 2) for _ in range(parts)]
            for part in range(parts):
                share = self.connections // parts + (part < self.connections % parts)
                loads.append(mode.row.start(
                    "client", MAILGUARD, "load", address(mode, self.family), "--helo", "--json", "--interval", 0,
                    "--connections", share, "--hold", 600, "--bind", mode.row.another_client(part)))
            for process in loads:
                process.wait_for("connections held", 180)
            time.sleep(0.5)
            held = resident_mib(mode.row.pids())
            for process in loads:
                process.popen.send_signal(signal.SIGTERM)
            for process in loads:
                process.wait(120)
                reports.append(parsed(process))
        finally:
            for process in loads:
                process.stop()
            arrived = sum(sink.totals()["connections"] for sink in sinks)
        errors = [report["errors"]["kinds"] for report in reports if report["errors"]["total"]]
        if errors or arrived != self.connections:
            raise Trouble(f"{arrived} of {self.connections} connections; {errors}")
        return {"figure": held}


class Source(Row):
    """Postfix's smtp-source and smtp-sink, which know nothing of ours."""

    def __init__(self, name, connections, bulk, title):
        super().__init__(name, "Gbit/s" if bulk else "mails/s", title)
        self.connections, self.bulk = connections, bulk

    def why_not(self, mode):
        return "its own way of counting is for mail that is delivered at once" if mode.stores else None

    def measure(self, mode, settings):
        # smtp-source writes line by line, about 1 Gbit/s: a quarter of the octets is enough.
        size = settings.bulk // 4 if self.bulk else 1024
        count = self.connections if self.bulk else round(settings.seconds * 4000)
        libraries = {"LD_LIBRARY_PATH": os.path.join(MTA, "postfix/usr/lib/postfix")}
        place = os.path.join(MTA, "postfix/usr/sbin")
        server = mode.row.server(self.family)
        sink = mode.row.start("server", f"{place}/smtp-sink", "-c", "-u", "nobody", f"inet:{server}:{PORT}", 1024, env=libraries)
        try:
            wait_for_port(mode, sink)
            before = mode.row.received()
            spent = Spent(mode)
            began = time.monotonic()
            # -d: one connection for many mails.
            process = mode.row.start("client", f"{place}/smtp-source", "-d", "-s", self.connections, "-m", count,
                                     "-l", size, f"inet:{mode.target(self.family)}:{PORT}", env=libraries)
            status = process.wait(120)
            took = time.monotonic() - began
            spent = spent.stop()
            if status != 0:
                raise Trouble(f"smtp-source: {process.said()[-300:]}")
            octets = mode.row.received() - before
            said = sink.said(sink.out) + sink.said()
        finally:
            sink.stop()
        # Sessions, QUITs, messages: the last line of its counters, which stand behind carriage returns.
        arrived = [int(number) for number in re.findall(r"mesg=(\d+)", said)]
        if not arrived or arrived[-1] != count:
            raise Trouble(f"smtp-sink has counted {arrived[-1] if arrived else 'nothing'} instead of {count}")
        if octets < count * size:
            raise Trouble(f"{octets} octets on the server's wire are less than {count} messages of {size}")
        amount = count * size / 1e9 if self.bulk else count / 1000
        figure = count * size * 8e-9 / took if self.bulk else count / took
        return {"figure": figure, "seconds": took, "mails": count, **per(spent, amount)}


def wait_for_port(mode, process):
    """Until somebody listens on the server's port."""
    for _ in range(200):
        if mode.row.exec("server", "ss", "-Hltn", f"sport = :{PORT}").strip():
            return
        if process.popen.poll() is not None:
            break
        time.sleep(0.02)
    raise Trouble(f"nobody listens; smtp-sink said: {process.said()[-300:]}")


def per(spent, amount):
    """CPU seconds by the amount of work; segments that were repeated as they are."""
    return {name: value if name == "repeats" else value / amount for name, value in spent.items()}


def all_rows():
    """Every row by its name."""
    rows = [Bulk("bulk-1", 1, "one big message"), Bulk("bulk-1-v6", 1, "one big message, IPv6", "IPv6"),
            Bulk("bulk-4", 4, "four big messages at once")]
    for size, text in (("1k", "1 KB"), ("100k", "100 KB")):
        for connections in (1, 16, 256):
            for pipelined in (True, False):
                for many in (True, False):
                    name = f"mails-{size}-{connections}" + ("" if pipelined else "-step") + ("" if many else "-one")
                    title = (f"mails of {text}, {connections} connection{'s' if connections > 1 else ''}"
                             f"{', pipelined' if pipelined else ''}{'' if many else ', one mail each'}")
                    rows.append(Mails(name, size, connections, pipelined, many, title))
    rows.append(Mails("mails-1k-16-v6", "1k", 16, True, True, "mails of 1 KB, 16 connections, pipelined, IPv6", "IPv6"))
    for connections in (1, 64):
        title = f"NOOP round trip, {connections} at once"
        rows += [Noop(f"noop-{connections}", connections, title),
                 NoopInFlood(f"noop-{connections}-flood", connections, f"{title}, in a flood of SYNs")]
    for word, connections in (("0", 0), ("10k", 10_000), ("50k", 50_000)):
        rows.append(Memory(f"memory-{word}", connections, f"resident, {connections:,} idle connections"))
    rows += [Source("source-bulk-1", 1, True, "one big message, smtp-source"),
             Source("source-1k-16", 16, False, "mails of 1 KB, 16 connections, smtp-source")]
    return {row.name: row for row in rows}


MAIN = "bulk-1 bulk-1-v6 bulk-4 mails-1k-16 mails-1k-16-v6 noop-1".split()
