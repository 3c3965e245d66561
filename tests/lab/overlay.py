"""A root of its own for a mail server: a private overlay over the machine's root with the unpacked package
(scripts/setup) and its users laid into it. Nothing of it is seen or kept outside: the mounts belong to the test's mount
namespace, and everything written goes to a tmpfs.
"""

import glob
import os
import re
import smtplib
import socket
import subprocess
import threading
import time

import lab
from lab import on, skip, wait_for

USERS = """\
postfix:x:42501:42501::/var/spool/postfix:/usr/sbin/nologin
Debian-exim:x:42502:42502::/var/spool/exim4:/usr/sbin/nologin
opensmtpd:x:42503:42503::/var/lib/opensmtpd/empty:/usr/sbin/nologin
opensmtpq:x:42504:42504::/var/lib/opensmtpd/empty:/usr/sbin/nologin
smmta:x:42505:42505::/var/lib/sendmail:/usr/sbin/nologin
smmsp:x:42506:42506::/var/lib/sendmail:/usr/sbin/nologin
vmail:x:42510:42510::/var/vmail:/bin/sh
"""
GROUPS = """\
postfix:x:42501:
postdrop:x:42507:
Debian-exim:x:42502:
opensmtpd:x:42503:
opensmtpq:x:42504:
smmta:x:42505:
smmsp:x:42506:
vmail:x:42510:
"""
VMAIL = 42510
HOSTS = """\
127.0.0.1 localhost
::1 localhost
192.0.2.10 out.outside.example
2001:db8:1::10 out.outside.example
198.51.100.10 in.inside.example
2001:db8:2::10 in.inside.example
"""


class Jail:
    """The directory that a mail server takes for the root, and how to run things in it."""

    package = ""

    def __init__(self, side):
        self.side = side
        self.name = f"{self.package}-{side}"
        tree = os.path.join(lab.TARGET, "mta", self.package)
        if not os.path.exists(os.path.join(tree, ".complete")):
            skip(f"{self.package} is not unpacked; run scripts/setup")
        base = lab.temp_dir()
        _mount("-t", "tmpfs", "-o", "mode=755", self.name, base)
        for part in ("upper", "work", "root"):
            os.mkdir(os.path.join(base, part))
        subprocess.run(["cp", "-a", tree + "/.", os.path.join(base, "upper")], check=True)
        self.root = os.path.join(base, "root")
        _mount("-t", "overlay", "overlay", "-o",
               f"lowerdir=/,upperdir={base}/upper,workdir={base}/work", self.root)
        lab.at_end(lambda: subprocess.run(["umount", "-R", "-l", base], check=False))
        _mount("-t", "proc", "proc", self.path("proc"))
        # A /dev of its own: mail servers log to /dev/log, and that must not be the machine's.
        _mount("-t", "tmpfs", "-o", "mode=755", "dev", self.path("dev"))
        for node in ("null", "zero", "random", "urandom", "full", "tty"):
            open(self.path("dev", node), "w").close()
            _mount("--bind", "/dev/" + node, self.path("dev", node))
        for link, to in (("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"),
                         ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2")):
            os.symlink(to, self.path("dev", link))
        # The machine's own mail server, if it has one, is not ours to run or to read.
        for place, mode in (("var/spool", 755), ("var/mail", 775), ("run", 755), ("tmp", 1777)):
            _mount("-t", "tmpfs", "-o", f"mode={mode}", "private", self.path(place))
        for file, lines in (("etc/passwd", USERS), ("etc/group", GROUPS)):
            known = {line.split(":")[0] for line in lab.read("/" + file).splitlines()}
            more = [l for l in lines.splitlines() if l.split(":")[0] not in known]
            self.write(file, lab.read("/" + file).rstrip("\n") + "\n" + "\n".join(more) + "\n")
        self.write("etc/hosts", HOSTS)
        self.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")
        self.write("etc/resolv.conf", "")
        self.write("etc/hostname", self.host + "\n")
        self.write("etc/mailname", self.host + "\n")
        self.directory("var/vmail", VMAIL, VMAIL, 0o700)
        self.directory("var/vmail/box", VMAIL, VMAIL, 0o700)
        self.log = self.path("var/vmail.log")
        threading.Thread(target=self._syslog, args=(self._syslog_socket(),), daemon=True).start()
        self.processes = []

    @property
    def host(self):
        return "in.inside.example" if self.side == "inside" else "out.outside.example"

    @property
    def domain(self):
        return self.host.split(".", 1)[1]

    @property
    def domains(self):
        """All that it takes mail for."""
        return [self.domain, "six.example"] if self.side == "inside" else [self.domain]

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.lexists(path):
            os.remove(path)  # it may be a link to a file of the machine
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, mode)

    def directory(self, name, uid=0, gid=0, mode=0o755):
        path = self.path(name)
        os.makedirs(path, exist_ok=True)
        os.chown(path, uid, gid)
        os.chmod(path, mode)

    def uid(self, user):
        for line in lab.read(self.path("etc/passwd")).splitlines():
            if line.startswith(user + ":"):
                return int(line.split(":")[2])
        raise KeyError(user)

    def gid(self, group):
        for line in lab.read(self.path("etc/group")).splitlines():
            if line.startswith(group + ":"):
                return int(line.split(":")[2])
        raise KeyError(group)

    def _syslog_socket(self):
        logger = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        logger.bind(self.path("dev/log"))
        os.chmod(self.path("dev/log"), 0o666)
        return logger

    def _syslog(self, logger):
        while True:
            said = logger.recv(65536)
            with open(self.log, "ab") as log:
                log.write(said.rstrip(b"\n\0") + b"\n")

    def run(self, *argv, check=True, **options):
        done = lab.run(self.side, "chroot", self.root, *argv, **options)
        if check and done.returncode != 0:
            raise RuntimeError(f"{argv}: {done.stdout}")
        return done.stdout

    def daemon(self, *argv):
        process = lab.start(self.side, "chroot", self.root, *argv, log=self.log)
        self.processes.append(process)
        lab.at_end(self.stop)
        try:
            wait_for(f"{argv[0]} listens", lambda: self.listens() or process.poll() is not None, 20)
        except TimeoutError:
            pass
        if not self.listens():
            raise RuntimeError(f"{self.name} does not listen; it said:\n{self.said()[-3000:]}")

    def listens(self):
        try:
            with on(self.side):
                probe = socket.socket(socket.AF_INET)
            with probe:
                probe.settimeout(2)
                probe.connect(("127.0.0.1", 25))
                return probe.recv(3) == b"220"
        except OSError:
            return False

    def stop(self):
        """Ends it and whatever it forked: all that has this jail for a root."""
        for process in self.processes:
            lab.stop(process)
        self.processes = []
        for signal in (15, 9):
            for _ in range(20):
                mine = [p for p in glob.glob("/proc/[0-9]*/root") if self._is_here(p)]
                for place in mine:
                    try:
                        os.kill(int(place.split("/")[2]), signal)
                    except OSError:
                        pass
                if not mine:
                    return
                time.sleep(0.05)

    def _is_here(self, link):
        try:
            return os.path.samefile(link, self.root)
        except OSError:
            return False

    def said(self):
        """Its log."""
        return lab.read(self.log)

    def last_words(self):
        """The end of its log, for a person to read."""
        lines = [line for line in self.said().splitlines()
                 if not re.search(r"attribute|subsystem|name_mask|stream_setup|poststats|wanted", line)]
        return "\n".join(lines[-25:])

    def submit(self, message, recipient="bob@inside.example", sender="alice@outside.example"):
        """Gives it a mail to relay, through 127.0.0.1, where no guard is."""
        with on(self.side):
            smtp = smtplib.SMTP("127.0.0.1", 25, timeout=120)
        with smtp:
            smtp.sendmail(sender, [recipient], message)

    def mailbox(self):
        """The messages that it delivered, as (headers, body); its own traces end with the headers."""
        texts = []
        for path in glob.glob(self.path("var/vmail/box/new/*")):
            with open(path, "rb") as file:
                texts.append(file.read().replace(b"\r\n", b"\n"))
        for path in glob.glob(self.path("var/vmail/box/mbox")):
            with open(path, "rb") as file:
                # The form of a mailbox file: a From line before and an empty line behind each.
                found = file.read().split(b"\nFrom ")
                texts += [*found[:-1], found[-1].removesuffix(b"\n")]
        return [text.partition(b"\n\n")[::2] for text in texts]


def _mount(*words):
    subprocess.run(["mount", *words], check=True)
