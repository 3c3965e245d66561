"""Who reads what mailguard says: a real rsyslog, Prometheus' own checker and mandoc, unpacked by scripts/setup."""

import glob
import json
import os
import socket
import subprocess

import lab
from lab import INSIDE, on, skip, start, stop, wait_for

SYSLOG_UDP, SYSLOG_TCP = 514, 1470


class Unpacked:
    """A package that is not installed but lies in a directory of its own."""

    def __init__(self, package):
        self.tree = os.path.join(lab.TARGET, "mta", package)
        if not os.path.exists(os.path.join(self.tree, ".complete")):
            skip(f"{package} is not unpacked; run scripts/setup")
        libraries = glob.glob(os.path.join(self.tree, "usr/lib/*-linux-gnu"))
        self.environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}

    def path(self, name):
        """Where that file of the package is."""
        (found,) = glob.glob(os.path.join(self.tree, name))
        return found


class Rsyslog(Unpacked):
    """rsyslogd in the inside namespace. What it parsed is kept as one JSON object a message."""

    FIELDS = {"facility": "syslogfacility-text", "severity": "syslogseverity", "pri": "pri",
              "host": "hostname", "tag": "syslogtag", "text": "msg", "by": "inputname",
              "time": "timereported:::date-rfc3339"}

    def __init__(self):
        super().__init__("rsyslog")
        self.place = lab.temp_dir()
        self.parsed = os.path.join(self.place, "parsed")
        fields = ",".join(f'\\"{name}\\":\\"%{field}{"" if ":::" in field else ":::"}'
                          f'{"," if "date" in field else ""}json%\\"' for name, field in self.FIELDS.items())
        with open(os.path.join(self.place, "conf"), "w") as conf:
            conf.write(f"""
global(workDirectory="{self.place}")
module(load="imudp")
module(load="imtcp")
input(type="imudp" port="{SYSLOG_UDP}" name="udp")
input(type="imtcp" port="{SYSLOG_TCP}" name="tcp")
template(name="json" type="string" string="{{{fields}}}\\n")
action(type="omfile" file="{self.parsed}" template="json")
""")
        self.process = None

    def start(self):
        """Starts it and waits until it listens."""
        self.process = start("inside", self.path("usr/sbin/rsyslogd"), "-n", "-f", f"{self.place}/conf",
                             "-M", self.path("usr/lib/*-linux-gnu/rsyslog"), "-i", f"{self.place}/pid",
                             log=f"{self.place}/log", env=self.environment)

        def listens():
            with on("inside"):
                probe = socket.socket()
            with probe:
                return probe.connect_ex(("127.0.0.1", SYSLOG_TCP)) == 0

        wait_for("rsyslogd listens", listens)
        return self

    def stop(self):
        """Ends it."""
        stop(self.process)

    def forget(self):
        """What it has parsed so far is forgotten."""
        open(self.parsed, "w").close()

    def messages(self, by=None):
        """What it has parsed so far."""
        every = [json.loads(line) for line in lab.whole_lines(self.parsed)]
        return [one for one in every if by in (None, one["by"])]


class Promtool(Unpacked):
    """Prometheus' own checker."""

    def __init__(self):
        super().__init__("prometheus")

    def check(self, what, *words, **options):
        """What it says, and whether it has no complaint."""
        ran = subprocess.run([self.path("usr/bin/promtool"), "check", what, *words], text=True,
                             env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
        return ran.returncode, ran.stdout


class Mandoc(Unpacked):
    """The checker of man pages."""

    def __init__(self):
        super().__init__("mandoc")

    def complaints(self, page):
        """What it finds wrong with a page."""
        ran = subprocess.run([self.path("usr/bin/mandoc"), "-Tlint", "-Wwarning", page], text=True, env=self.environment,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return ran.stdout.splitlines()


def get(path, address="127.0.0.1", port=9100, side="guard"):
    """The head and the body of the answer to a GET."""
    with on(side):
        asking = socket.socket()
    with asking:
        asking.settimeout(10)
        asking.connect((address, port))
        asking.sendall(f"GET {path} HTTP/1.1\r\nHost: guard\r\n\r\n".encode())
        answer = asking.makefile("rb").read()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.decode(), body.decode()


def hosts(transport):
    """The option that has the guard log to rsyslog."""
    port = SYSLOG_UDP if transport == "udp" else SYSLOG_TCP
    return "--syslog", f"{transport}:{INSIDE['IPv4']}:{port}"
