"""What the tests of the catalogue share: each entry is a way to make an inspector and a receiver see
different octets, taken from the literature, and is played by a hand-made TCP against a kernel server.

The true line of an attacker and a decoy of the same length and the same checksum stand at one place in
the stream. A run is one of
    hides     EXPN is true, the decoy is a NOOP;
    poses     NOOP is true, the decoy is an EXPN;
    plain     EXPN is true and there is no decoy.
The verdict is one of
    refused    the decoy changed nothing: the true line had its verdict, and the session went on;
    taken      the decoy came first and counts, for the guard and for the server; the session went on;
    mixed      the line was made of both; the session went on;
    completes  no decoy, and the session went on;
    reset      the session ended, at once, at both ends;
    unopened   the handshake was refused, and given up by the client;
and of these, which must not be and fail unless the table knows of them:
    BYPASS     a forbidden command reached the server;
    HANG       the attacked session neither went on nor ended.
The same sequences are also played without the guard: they must carry EXPN to the server, or they would
show nothing.
"""

import itertools
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import lab
from lab import (FAMILIES, INSIDE, Client, Server, a_message, at_end, check, check_that, guard, guard_pid, run,
                 send_mail, sha256, wait_for)
from rawtcp import RAW, Connection, Wire

TABLE = os.path.join(lab.ROOT, "tests", "lab", "catalogue.md")
ALLOWED = {b"HELO", b"MAIL", b"RCPT", b"DATA", b"RSET", b"NOOP", b"QUIT"}
LINE = 44  # octets of a true line and of its decoy
RUNS = {"decoy": ("hides", "poses"), "plain": ("plain",)}
SAFE = {"refused", "taken", "mixed", "completes", "reset", "unopened"}
AT_ONCE = 40
PATIENCE = 6  # seconds for one reply

# What makes a receiver refuse a segment.
SPOILED = {
    "bad checksum": {"cksum": 0x0101},
    "small TTL": {"ttl": "low"},
    "ACK of what was never sent": {"ack_by": 0x1000_0000},
    "ACK far too old": {"ack_by": -0x1000_0000},
    "old timestamp": {"ts_by": -1_000_000},
    "MD5 option": {"md5": True},
    "no flags": {"flags": 0},
    "no ACK flag": {"flags": 8},
}

ENTRIES = []


class Entry:
    """name, source: what it is and who wrote it down; play(c, t): sends all that comes before the true line
    is said, or says it; stage: `session` for an open connection, `opening` when it opens it itself;
    is_inert: without the guard it does not carry EXPN to this kernel, other receivers differ."""

    def __init__(self, name, source, play, kind, stage, families, is_inert, options):
        self.name, self.source, self.play, self.kind = name, source, play, kind
        self.stage, self.families, self.is_inert, self.options = stage, families, is_inert, options


def entry(name, source, kind="decoy", stage="session", families=tuple(FAMILIES), is_inert=False, **options):
    """Makes a function an entry; options go to the Connection."""
    def made(play):
        if any(e.name == name and e.source == source for e in ENTRIES):
            raise ValueError(f"two entries are named {name}")
        ENTRIES.append(Entry(name, source, play, kind, stage, families, is_inert, options))
        return play
    return made


class Texts:
    """The two lines of one run."""

    def __init__(self, number, run_name):
        verbs = (b"NOOP", b"EXPN") if run_name == "poses" else (b"EXPN", b"NOOP")
        self.tag = b"%05d" % number
        self.truth = verbs[0] + b" " + self.tag + b" " + b"m" * (LINE - 13) + b"\r\n"
        self.decoy = _decoy(self.truth, verbs[1] + b" " + self.tag + b" ")
        self.replies_before = 0  # to what an entry says before the true line
        assert len(self.truth) == len(self.decoy) == LINE


def _decoy(truth, head):
    """A line that begins with that and has the checksum of the truth. It differs only before octet 16, so that
    a fragment of the one can be the end of the other."""
    tail = truth[len(head) + 5:]
    known = int.from_bytes(head + b"m\0\0\0\0" + tail, "big")
    lacking = (int.from_bytes(truth, "big") - known) % 0xFFFF
    for first in itertools.product(b"abcdefghijklmnopqrsuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", repeat=2):
        second = ((lacking - int.from_bytes(first, "big")) % 0xFFFF).to_bytes(2, "big")
        if second.isalnum():
            return head + b"m" + bytes(first) + second + tail
    raise ValueError("no decoy has that checksum")


def is_forbidden(line):
    """Whether a line that reached a server is a command that must not: one that is not allowed and was
    not spoiled (an X in the place of the letter that made it refusable)."""
    verb = line.upper().lstrip(b" \t")[:4].rstrip(b" ")
    return bool(verb) and verb not in ALLOWED and not re.fullmatch(rb"[A-Z]{0,3}X *", verb)


# --- one run --------------------------------------------------------------------------------------------


class Run:
    """One entry, in one family, in one direction."""

    def __init__(self, entry, family, name, number):
        self.entry, self.family, self.name, self.number = entry, family, name, number
        self.verdict, self.said = None, []
        self.texts = Texts(number, name)

    @property
    def row(self):
        return self.entry.source, self.entry.name, self.name

    def play(self, wire, has_guard):
        """Plays it to its end; the verdict lacks only what the server has seen."""
        c = Connection(wire, self.family, low_ttl=2 if has_guard else 1, **self.entry.options)
        self.port = c.ours
        patience = PATIENCE if has_guard else 3
        try:
            self.verdict = self._play(c, patience)
        finally:
            if self.verdict not in ("refused", "taken", "mixed", "completes"):
                c.abort()
            self.seen = list(c.seen)
            c.close()

    def _play(self, c, patience):
        t = self.texts
        if self.entry.stage == "session":
            if not c.open():
                return "unopened"
            if not (c.line(patience) or b"").startswith(b"220"):
                return self._ended(c, "no greeting")
            c.push(b"HELO " + t.tag + b"\r\n")
            if not (c.line(patience) or b"").startswith(b"250"):
                return self._ended(c, "no reply to HELO")
        before = len(c.true)
        self.entry.play(c, t)
        if self.entry.stage == "opening":
            if c.irs is None:
                return "reset" if c.was_reset else "unopened"
            if not c.is_open:
                c.established()
            if len(c.true) == before:
                c.line(1)  # a client that hears no greeting speaks in the end, and then hears whether it is alone
        if len(c.true) == before:
            c.push(t.truth)
        # What is true is now said; whoever repeats it repeats only that.
        for _ in range(t.replies_before):
            if c.line(patience) is None:
                return self._ended(c, "no reply to what came before the true line")
        for next_line in (b"NOOP after\r\n", b"EXPN again\r\n", b"QUIT\r\n", None):
            line = c.line(patience)
            if line is None:
                return self._ended(c, f"no reply before {next_line}")
            if line.startswith(b"220") and not self.said:
                line = c.line(patience) or b"none"
            self.said.append(line[:3])
            if next_line:
                c.push(next_line)
        while self.said[-1] != b"221":
            line = c.line(patience)
            if line is None:
                return self._ended(c, "no reply to QUIT")
            self.said.append(line[:3])
        c.finish()
        truth, decoy = (b"250", b"500") if t.truth.startswith(b"NOOP") else (b"500", b"250")
        rest = [b"250", b"500", b"221"]
        if self.said == [truth] + rest:
            return "completes" if self.entry.kind == "plain" else "refused"
        return "taken" if self.said == [decoy] + rest else "mixed"

    def _ended(self, c, how):
        self.said.append(how.encode())
        return "reset" if c.was_reset or c.fin_heard else "HANG"


# --- all of them ----------------------------------------------------------------------------------------


class Bystander:
    """An ordinary client of the kernel's TCP that sends mail all the while."""

    def __init__(self):
        self.sent, self.wrong, self.slowest = [], [], 0
        self.text = a_message(20_000)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def mail(self, family):
        began = time.monotonic()
        message = self.text.replace(b"Subject: a message", b"Subject: message %d" % len(self.sent))
        with Client(INSIDE[family]) as client:
            client.reply()
            accepted = send_mail(client, message)
        self.sent.append(sha256(message))
        self.slowest = max(self.slowest, time.monotonic() - began)
        if accepted != b"250 message accepted\r\n":
            self.wrong.append(accepted)

    def _run(self):
        for family in iter(lambda: FAMILIES[len(self.sent) % 2], None):
            if self.stop.is_set():
                return
            try:
                self.mail(family)
            except OSError as why:
                self.wrong.append(repr(why))
                return
            time.sleep(0.05)

    def end(self):
        self.stop.set()
        self.thread.join(30)


def _play_all(wire, runs, has_guard):
    """Plays the runs, many at a time; returns what the server wrote down."""
    with Server() as server:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            bystander = Bystander() if has_guard else None
            for done in [pool.submit(r.play, wire, has_guard) for r in runs]:
                done.result()
        if has_guard:
            hanging = {r.port for r in runs if r.verdict == "HANG"}
            bystander.end()
            for family in FAMILIES:
                bystander.mail(family)
            print(f"    the slowest mail beside the attacks took {bystander.slowest:.2f} s", flush=True)
            check("mail beside the attacks was accepted", bystander.wrong, [])
            check(f"{len(bystander.sent)} mails beside and after the attacks arrived", sorted(server.digests),
                  sorted(bystander.sent))
            try:
                wait_for("the ends", lambda: not _still_open(hanging), 8)
            except TimeoutError:
                lab.fail(f"the server still holds attacked connections: {_still_open(hanging)}")
        return list(server.transcript)


def _still_open(but):
    """Connections of the hand-made TCP that the kernel inside has as established; but: ports of those that
    are known to hang."""
    said = run("inside", "ss", "-Htn", "state", "established").stdout
    return [line for line in said.splitlines() if any(address in line for address in RAW.values())
            and not any(int(port) in but for port in re.findall(r":(\d+)(?= |$)", line))]


def is_possible(name):
    """On a bridge the guard's neighbour is the server: nothing dies between them for want of TTL, and there is no MAC
    but the server's that a packet could pass the guard with and not be the server's."""
    return not (lab.IS_BRIDGE and re.search(r"\bttl\b|MAC of another host", name, re.I))


def play(section):
    """Plays all entries that were made, without the guard and with it, and compares the verdicts with the
    table."""
    wire = Wire()
    made = []
    for e in (e for e in ENTRIES if is_possible(e.name)):
        for name in RUNS[e.kind]:
            made += [(e, family, name) for family in e.families]
    began = time.monotonic()
    run("inside", "sysctl", "-qw", "net.ipv4.tcp_fastopen=0x603")  # takes data on any SYN
    at_end(lambda: run("inside", "sysctl", "-qw", "net.ipv4.tcp_fastopen=1"))

    # Without the guard.
    lab.lab("guard", "bypass")
    at_end(lambda: lab.lab("guard", "restore"))
    alone = [Run(*what, number) for number, what in enumerate(made) if what[1] == what[0].families[0]]
    said = b"\n".join(_play_all(wire, alone, has_guard=False))
    carried = {int(number) for number in re.findall(rb"(?m)^EXPN (\d{5})", said)}
    missing = {r.entry.name for r in alone if not r.entry.is_inert} \
        - {r.entry.name for r in alone if r.number in carried}
    if not check("without the guard every entry carries EXPN to the server", sorted(missing), []):
        for r in alone:
            if r.entry.name in missing:
                print(f"    {' / '.join(r.row)}: {r.verdict}: {r.said} came: {r.seen}")
    lab.lab("guard", "restore")
    print(f"    without the guard: {time.monotonic() - began:.1f} s", flush=True)

    # With it.
    guard()
    pid = guard_pid()
    runs = [Run(*what, number) for number, what in enumerate(made)]
    transcript = _play_all(wire, runs, has_guard=True)
    check("the guard lives", guard_pid(), pid)
    for line in filter(is_forbidden, transcript):
        number = re.search(rb"\d{5}", line)
        if number and int(number.group()) < len(runs):
            runs[int(number.group())].verdict = "BYPASS"
        else:
            lab.fail(f"a forbidden command reached the server: {line!r}")
    judge(runs)
    compare(section, runs)
    print(f"    {len(ENTRIES)} entries, {len(runs)} runs, {time.monotonic() - began:.1f} s", flush=True)


def judge(runs):
    """Fails for every run that was not safe, unless the table knows of it."""
    rows = lab.read(TABLE).splitlines()
    for r in runs:
        if r.verdict in SAFE:
            continue
        begin = f"| {' | '.join(r.row)} |"
        said = f"{r.family}: {' / '.join(r.row)}: {r.verdict}: {r.said} came: {r.seen[-6:]}"
        if any(row.startswith(begin) and r.verdict in row for row in rows):
            print(f"    KNOWN: {said}", flush=True)
        else:
            lab.fail(said)


# --- the table ------------------------------------------------------------------------------------------


def table(runs):
    """The rows of the runs, one for an entry and a direction."""
    cells = {}
    for r in runs:
        cells.setdefault(r.row, {})[r.family] = r.verdict
    lines = [(("source", "entry", "run"), dict(zip(FAMILIES, FAMILIES))),
             (("---",) * 3, dict.fromkeys(FAMILIES, "---"))]
    return ["| " + " | ".join([*row, *(verdicts.get(family, "-") for family in FAMILIES)]) + " |"
            for row, verdicts in [*lines, *cells.items()]]


HEAD = """# The catalogue, and what becomes of each entry

Made by `tests/lab/catalogue-*.py`, which compare it with what they see; with `CATALOGUE_REWRITE=1` they write it anew.
`catalogue.py` says what the words mean.
"""


def compare(section, runs):
    """Compares the rows with those of the section in the committed table, or puts them there."""
    rows = table(runs)
    print("\n".join("    " + row for row in rows), flush=True)
    if lab.IS_BRIDGE:
        # Each was judged. The table is that of the guard between legs: there the kernel puts fragments together.
        return
    _, *sections = re.split(r"(?m)^## ", lab.read(TABLE))
    kept = {name: rest.strip().splitlines() for name, _, rest in (part.partition("\n") for part in sections)}
    known = kept.get(section, [])
    if os.environ.get("CATALOGUE_REWRITE"):
        kept[section] = rows
        with open(TABLE, "w") as file:
            file.write(HEAD)
            for name in sorted(kept):
                file.write(f"\n## {name}\n\n" + "\n".join(kept[name]) + "\n")
        return
    differing = [f"- {row}" for row in known if row not in rows]
    differing += [f"+ {row}" for row in rows if row not in known]
    check_that(f"the table of {section} is as it was", not differing, "\n".join(["", *differing]))
