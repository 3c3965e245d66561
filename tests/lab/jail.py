"""Real mail servers, each with a root of its own (overlay.py).

    server = Postfix("inside", ...); server.start()

Every class can do two things: take mail for its domains on port 25 (kept as files), and relay what it
is given on 127.0.0.1:25 to one other host, or, if relay is a dictionary, to the host of its domain.
"""

import hashlib
import os
import subprocess

import lab
from lab import wait_for
from overlay import VMAIL, Jail

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
    """Exim; extra: more lines for its main options, smtp: for those of its SMTP transport, rcpt: for its ACL for RCPT,
    authenticators: for these."""

    package = "exim4-daemon-light"

    def __init__(self, side, relay=None, extra=(), smtp=(), rcpt=(), authenticators=()):
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
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
message_size_limit = 0
check_spool_space = 0
host_lookup =
rfc1413_query_timeout = 0s
keep_environment =
tls_advertise_hosts = {"*" if any("tls_certificate" in line for line in extra) else ""}
smtp_accept_max = 0
smtp_accept_queue_per_connection = 0
disable_ipv6 = false
dns_again_means_nonexist = *
deliver_drop_privilege = false
never_users =
trusted_users = root
{lines(extra)}
begin acl
rcpt:
{lines(rcpt)}
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
{lines(authenticators)}
""")
        user, group = self.uid("Debian-exim"), self.gid("Debian-exim")
        for place in ("var/spool/exim4", "var/log/exim4", "run/exim4"):
            self.directory(place, user, group, 0o750)
        os.chmod(self.path("usr/sbin/exim4"), 0o4755)

    def start(self):
        self.daemon("exim4", "-bdf", "-q10s")
        return self


class OpenSmtpd(Jail):
    """OpenSMTPD; extra: more lines for the head of smtpd.conf, listen and out: more words for the lines that listen
    and relay, via: the scheme of what it relays to."""

    package = "opensmtpd"

    def __init__(self, side, relay=None, extra=(), listen="", via="smtp://", out=""):
        super().__init__(side)
        lines = "\n".join
        rules = ""
        for domain, host in (relay if isinstance(relay, dict) else {"": relay} if relay else {}).items():
            address = f"[{host}]" if ":" in host else host
            whom = f'domain "{domain}"' if domain else "any"
            rules += f'''
action "out {domain}" relay host {via}{address} {out}
match from any for {whom} action "out {domain}"'''
        here = ", ".join(f'"{domain}"' for domain in self.domains)
        box = ", ".join(f'"@{domain}" = "vmail"' for domain in self.domains)
        self.write("etc/smtpd.conf", f"""
smtp max-message-size "1G"
queue ttl 1h
# A connection that has nothing to do any more ends at once.
mta limit session-keepalive 0
table box {{ {box} }}
{lines(extra)}
listen on 0.0.0.0 port 25 {listen}
listen on :: port 25 {listen}
action "in" maildir "/var/vmail/box" virtual <box>
match from any for domain {{ {here} }} action "in"
{rules}
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
    the greeting speaks of ESMTP. extra: more lines for sendmail.mc."""

    package = "sendmail-bin"

    def __init__(self, side, relay=None, mailer="esmtp", extra=()):
        super().__init__(side)
        lines = "\n".join
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
{lines(extra)}
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
        self.write("etc/mail/sendmail.cf", self.run("m4", "/etc/mail/sendmail.mc", stderr=subprocess.DEVNULL))
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


def end_of_session(client):
    """A guard that starts anew would end those sessions of the host outside that there still are."""
    sessions = ("ss", "-Htn", "state", "established", "state", "close-wait", "dport = :25")
    wait_for("the end of the session", lambda: not lab.run("outside", *sessions).stdout)
    if isinstance(client, OpenSmtpd):
        # Or it would wait for ten seconds before it goes to the same host again.
        client.stop()
        client.start()
