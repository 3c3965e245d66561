"""Real mail servers, each in a jail: a private overlay over the machine's root with the unpacked
package (scripts/setup) and its users laid into it. Nothing of it is seen or kept outside: the mounts
belong to the test's mount namespace, and everything written goes to a tmpfs.

    server = Postfix("inside", ...); server.start()

Every class can do two things: take mail for its domains on port 25 (kept as files), and relay what it
is given on 127.0.0.1:25 to one other host, or, if relay is a dictionary, to the host of its domain.
"""

import glob
import hashlib
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


class Postfix(Jail):
    """Postfix; extra: more lines for main.cf."""

    package = "postfix"

    def __init__(self, side, relay=None, extra=()):
        super().__init__(side)
        main = [
            "compatibility_level = 3.6",
            f"myhostname = {self.host}",
            "inet_interfaces = all",
            "inet_protocols = all",
            "mydestination =",
            "mynetworks = 127.0.0.0/8 [::1]/128",
            f"virtual_mailbox_domains = {' '.join(self.domains)}",
            "virtual_mailbox_base = /var/vmail",
            "virtual_mailbox_maps = static:box/",
            f"virtual_uid_maps = static:{VMAIL}",
            f"virtual_gid_maps = static:{VMAIL}",
            "virtual_mailbox_limit = 0",
            "mailbox_size_limit = 0",
            "message_size_limit = 0",
            "queue_minfree = 0",
            "alias_maps =",
            "alias_database =",
            "smtp_host_lookup = native",
            "disable_dns_lookups = yes",
            # The server's own words about what reached it.
            "debug_peer_level = 1",
            "debug_peer_list = 192.0.2.0/24 198.51.100.0/24 [2001:db8::]/32",
            # Strict about time: a test must not wait for a queue run.
            "minimal_backoff_time = 5s",
            "queue_run_delay = 5s",
            "smtpd_error_sleep_time = 0",
            "smtpd_client_connection_count_limit = 0",
            "maillog_file =",
            "syslog_facility = mail",
        ]
        if isinstance(relay, dict):
            hosts = ", ".join(f"{{ {domain} = smtp:[{host}] }}" for domain, host in relay.items())
            main.append(f"transport_maps = inline:{{ {hosts} }}")
        elif relay:
            main.append(f"relayhost = [{relay}]")
        main += extra
        os.makedirs(self.path("etc/postfix"), exist_ok=True)
        self.write("etc/postfix/main.cf", "\n".join(main) + "\n")
        master = lab.read(self.path("usr/share/postfix/master.cf.dist"))
        lines = []
        for line in master.splitlines():
            words = line.split()
            # No further chroot inside the jail.
            if len(words) >= 8 and not line.startswith(("#", " ")) and words[4] in ("y", "-"):
                words[4] = "n"
                line = " ".join(words)
            lines.append(line)
        self.write("etc/postfix/master.cf", "\n".join(lines) + "\n")
        self.write("etc/postfix/dynamicmaps.cf", "")
        owner = self.uid("postfix")
        self.directory("var/spool/postfix")
        self.directory("var/lib/postfix", owner, self.gid("postfix"))
        for program in ("postdrop", "postqueue"):
            path = self.path("usr/sbin", program)
            os.chown(path, 0, self.gid("postdrop"))
            os.chmod(path, 0o2755)

    def start(self):
        self.daemon("postfix", "start-fg")
        return self


class Exim(Jail):
    """Exim; extra: more lines for its main options, smtp: for those of its SMTP transport."""

    package = "exim4-daemon-light"

    def __init__(self, side, relay=None, extra=(), smtp=()):
        super().__init__(side)
        routes = relay if isinstance(relay, dict) else {"*": relay}
        lines = "\n".join
        route_list = "; ".join(f'{domain} "<, {host}"' for domain, host in routes.items())
        out = f"""
  out:
    driver = manualroute
    domains = ! {self.domain}
    route_list = <; {route_list}
    host_find_failed = defer
    self = send
    transport = smtp
""" if relay else ""
        self.write("etc/exim4/exim4.conf", f"""
primary_hostname = {self.host}
exim_path = /usr/sbin/exim4
log_file_path = syslog
syslog_duplication = false
acl_smtp_rcpt = accept
acl_smtp_data = accept
message_size_limit = 0
check_spool_space = 0
host_lookup =
rfc1413_query_timeout = 0s
keep_environment =
tls_advertise_hosts =
smtp_accept_max = 0
smtp_accept_queue_per_connection = 0
disable_ipv6 = false
dns_again_means_nonexist = *
deliver_drop_privilege = false
never_users =
trusted_users = root
{lines(extra)}
begin acl
accept:
  accept
begin routers
  box:
    driver = accept
    domains = {" : ".join(self.domains)}
    transport = box
{out}
begin transports
  box:
    driver = appendfile
    directory = /var/vmail/box
    maildir_format
    user = vmail
    group = vmail
    message_size_limit = 0
  smtp:
    driver = smtp
{lines(smtp)}
begin retry
* * F,1h,5s
begin rewrite
begin authenticators
""")
        user, group = self.uid("Debian-exim"), self.gid("Debian-exim")
        for place in ("var/spool/exim4", "var/log/exim4", "run/exim4"):
            self.directory(place, user, group, 0o750)
        os.chmod(self.path("usr/sbin/exim4"), 0o4755)

    def start(self):
        self.daemon("exim4", "-bdf", "-q10s")
        return self


class OpenSmtpd(Jail):
    """OpenSMTPD."""

    package = "opensmtpd"

    def __init__(self, side, relay=None):
        super().__init__(side)
        out = ""
        for domain, host in (relay if isinstance(relay, dict) else {"": relay} if relay else {}).items():
            address = f"[{host}]" if ":" in host else host
            whom = f'domain "{domain}"' if domain else "any"
            out += f'''
action "out {domain}" relay host smtp://{address}
match from any for {whom} action "out {domain}"'''
        here = ", ".join(f'"{domain}"' for domain in self.domains)
        box = ", ".join(f'"@{domain}" = "vmail"' for domain in self.domains)
        self.write("etc/smtpd.conf", f"""
smtp max-message-size "1G"
queue ttl 1h
# A connection that has nothing to do any more ends at once.
mta limit session-keepalive 0
table box {{ {box} }}
listen on 0.0.0.0 port 25
listen on :: port 25
action "in" maildir "/var/vmail/box" virtual <box>
match from any for domain {{ {here} }} action "in"
{out}
""")
        self.write("var/empty-mailer.conf", "")
        self.directory("var/lib/opensmtpd/empty")
        self.directory("var/spool/smtpd", 0, 0, 0o711)
        os.chown(self.path("usr/sbin/smtpctl"), 0, self.gid("opensmtpq"))
        os.chmod(self.path("usr/sbin/smtpctl"), 0o2755)

    def start(self):
        self.daemon("smtpd", "-d", "-v", "-f", "/etc/smtpd.conf")
        return self


class Sendmail(Jail):
    """sendmail, with a sendmail.cf made by its own m4 macros. Its mailer esmtp begins with EHLO, smtp with HELO unless
    the greeting speaks of ESMTP."""

    package = "sendmail-bin"

    def __init__(self, side, relay=None, mailer="esmtp"):
        super().__init__(side)
        routes = relay if isinstance(relay, dict) else {}
        if routes:
            smart = "FEATURE(`mailertable', `text -k0 -v1 /etc/mail/mailertable')dnl"
        else:
            smart = f"define(`SMART_HOST', `{mailer}:[{relay_address(relay)}]')dnl" if relay else ""
        self.write("etc/mail/sendmail.mc", f"""
include(`/usr/share/sendmail/cf/m4/cf.m4')dnl
VERSIONID(`lab')dnl
OSTYPE(`debian')dnl
undefine(`confHOST_STATUS_DIRECTORY')dnl
define(`confDOMAIN_NAME', `{self.host}')dnl
define(`confDONT_PROBE_INTERFACES', `True')dnl
define(`confTO_IDENT', `0')dnl
define(`confTO_QUEUERETURN', `1h')dnl
define(`confLOG_LEVEL', `14')dnl
define(`confDONT_BLAME_SENDMAIL', `GroupWritableDirPathSafe,FileDeliveryToSymlink,AssumeSafeChown,GroupWritableForwardFileSafe')dnl
define(`confMIN_FREE_BLOCKS', `0')dnl
define(`ALIAS_FILE', `/etc/mail/aliases')dnl
define(`confSERVICE_SWITCH_FILE', `/etc/mail/service.switch')dnl
{smart}
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`accept_unqualified_senders')dnl
FEATURE(`nouucp', `reject')dnl
FEATURE(`nocanonify')dnl
FEATURE(`no_default_msa')dnl
DAEMON_OPTIONS(`Family=inet, Name=v4, Addr=0.0.0.0, Port=25')dnl
DAEMON_OPTIONS(`Family=inet6, Name=v6, Addr={lab.INSIDE['IPv6'] if side == 'inside' else lab.OUTSIDE['IPv6']}, Port=25')dnl
FEATURE(`promiscuous_relay')dnl
LOCAL_DOMAIN(`{self.domain}')dnl
MAILER(`local')dnl
MAILER(`smtp')dnl
""")
        self.write("etc/mail/service.switch", "hosts files\naliases files\n")
        self.write("etc/mail/aliases", "postmaster: /var/vmail/box/other\nbob: /var/vmail/box/mbox\n")
        self.write("etc/mail/mailertable", "".join(f"{domain} {mailer}:[{relay_address(host)}]\n"
                                                   for domain, host in routes.items()))
        self.write("etc/mail/local-host-names", "\n".join(self.domains) + "\n")
        user, group = self.uid("smmta"), self.gid("smmta")
        self.directory("etc/mail", 0, 0)
        self.directory("var/lib/sendmail", user, group, 0o755)
        self.directory("run/sendmail/mta")
        self.directory("var/spool/mqueue", 0, 0, 0o700)
        self.directory("var/spool/mqueue-client", self.uid("smmsp"), self.gid("smmsp"), 0o770)
        # It writes the file as its default user, mail.
        self.directory("var/vmail/box", self.uid("mail"), self.gid("mail"), 0o700)
        self.directory("var/vmail", 0, 0, 0o755)
        config = self.run("m4", "/etc/mail/sendmail.mc", stderr=subprocess.DEVNULL)
        self.write("etc/mail/sendmail.cf", config)
        self.binary = "/usr/libexec/sendmail/sendmail"
        if not os.path.exists(self.path(self.binary.lstrip("/"))):
            self.binary = "/usr/lib/sm.bin/sendmail"

    def start(self):
        self.run(self.binary, "-bi", check=False)
        self.daemon(self.binary, "-bD", "-q10s", "-X", "/var/vmail.traffic")
        return self


def relay_address(relay):
    return f"IPv6:{relay}" if ":" in relay else relay


def body_digest(message):
    """The digest of what a mail server must not change: the body, with the ends of lines as in files."""
    _, _, body = message.replace(b"\r\n", b"\n").partition(b"\n\n")
    return hashlib.sha256(body).hexdigest()


def delivered(server, message, seconds=60):
    """Waits until the server has the message in its mailbox, bit for bit."""
    wanted = body_digest(message)

    def found():
        return [head for head, body in server.mailbox() if hashlib.sha256(body).hexdigest() == wanted]

    try:
        wait_for("the message", found, seconds, pause=0.2)
        return True
    except TimeoutError:
        print(f"    mailbox: {[(len(h), len(b)) for h, b in server.mailbox()]}")
        print("    its log:\n" + server.last_words())
        return False
