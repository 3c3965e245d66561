"""STARTTLS and AUTH of real mail servers, as servers and as clients, with a certificate made for the purpose: they work
from end to end through asa94 and modern. Through asa72 STARTTLS is out of sight, and who insists on it does not send."""

import base64
import contextlib
import re
import socket
import ssl
import subprocess
import threading

import jail
import lab
import tls
from generations import counters
from lab import FAMILIES, INSIDE, Client, a_message, check, check_that, done, guard, wait_for

KEY, CERT = tls.certificate()
RIGHT, WRONG = (b"\0bob\0" + word for word in (b"secret", b"guess"))
PLACE = "etc/lab-tls"
SASL = "pwcheck_method: saslauthd\nsaslauthd_path: /run/lab-sasl/mux\nmech_list: PLAIN LOGIN\n"
DOMAINS = {"IPv4": "inside.example", "IPv6": "six.example"}
ROUTES = {DOMAINS[family]: INSIDE[family] for family in FAMILIES}


def with_certificate(server, user="root"):
    """Gives it key and certificate."""
    for path, name in ((KEY, "key.pem"), (CERT, "cert.pem")):
        server.write(f"{PLACE}/{name}", lab.read(path), 0o600)
        subprocess.run(["chown", str(server.uid(user)), server.path(PLACE, name)], check=True)
    return server


def with_saslauthd(server):
    """Answers libsasl's question whether a password is right, in the place of saslauthd: four strings, each behind its
    length, and a string for the answer."""
    server.directory("run/lab-sasl")
    asked = socket.socket(socket.AF_UNIX)
    asked.bind(server.path("run/lab-sasl/mux"))
    subprocess.run(["chmod", "666", server.path("run/lab-sasl/mux")], check=True)
    asked.listen()

    def serve():
        while True:
            with contextlib.suppress(OSError):
                connection, _ = asked.accept()
                with connection, connection.makefile("rb") as file:
                    user, password, *_ = (file.read(int.from_bytes(file.read(2), "big")) for _ in range(4))
                    answer = b"OK" if (user, password) == (b"bob", b"secret") else b"NO"
                    connection.sendall(len(answer).to_bytes(2, "big") + answer)

    threading.Thread(target=serve, daemon=True).start()
    return server


def postfix():
    """A Postfix with TLS and AUTH."""
    server = with_saslauthd(with_certificate(jail.Postfix("inside", extra=(
        "smtpd_tls_security_level = may", f"smtpd_tls_cert_file = /{PLACE}/cert.pem",
        f"smtpd_tls_key_file = /{PLACE}/key.pem", "smtpd_sasl_auth_enable = yes",
        "cyrus_sasl_config_path = /etc/postfix/sasl"))))
    server.write("etc/postfix/sasl/smtpd.conf", SASL)
    return server


EXIM_KNOWS = ("plain:", "  driver = plaintext", "  public_name = PLAIN", "  server_prompts = :",
              "  server_condition = ${if and{{eq{$auth2}{bob}}{eq{$auth3}{secret}}}}", "  server_set_id = $auth2")
EXIM_TLS = (f"tls_certificate = /{PLACE}/cert.pem", f"tls_privatekey = /{PLACE}/key.pem")


def exim():
    """An Exim with TLS and AUTH."""
    return with_certificate(jail.Exim("inside", extra=EXIM_TLS, authenticators=EXIM_KNOWS), "Debian-exim")


def opensmtpd():
    """An OpenSMTPD with TLS and, inside of it, AUTH."""
    secret = subprocess.run(["openssl", "passwd", "-6", "secret"], check=True, text=True, stdout=subprocess.PIPE).stdout
    return with_certificate(jail.OpenSmtpd("inside", listen='tls pki "in" auth-optional <creds>', extra=(
        f'pki "in" cert "/{PLACE}/cert.pem"', f'pki "in" key "/{PLACE}/key.pem"',
        f'table creds {{ "bob" = "{secret.strip()}" }}')))


def sendmail():
    """A sendmail with TLS and AUTH."""
    server = with_saslauthd(with_certificate(jail.Sendmail("inside", extra=(
        f"define(`confSERVER_CERT', `/{PLACE}/cert.pem')dnl", f"define(`confSERVER_KEY', `/{PLACE}/key.pem')dnl",
        f"define(`confCACERT', `/{PLACE}/cert.pem')dnl", f"define(`confCACERT_PATH', `/{PLACE}')dnl",
        "define(`confAUTH_MECHANISMS', `PLAIN LOGIN')dnl", "TRUST_AUTH_MECH(`PLAIN LOGIN')dnl"))))
    server.write("usr/lib/sasl2/Sendmail.conf", SASL)
    return server


def auth(title, address, is_encrypted):
    """AUTH with a wrong and with the right password."""
    with Client(address, timeout=30) as client:
        client.reply()
        said = client.say("EHLO client")
        if is_encrypted:
            client.say("STARTTLS")
            tls.encrypt(client, CERT)
            said = client.say("EHLO client")
        check_that(f"{title}: AUTH is offered", re.search(rb"\n250.AUTH[^\r]* PLAIN", said), said)
        check(f"{title}: with a wrong password", client.say(b"AUTH PLAIN " + base64.b64encode(WRONG) + b"\r\n")[:3], b"535")
        check(f"{title}: with the right one", client.say(b"AUTH PLAIN " + base64.b64encode(RIGHT) + b"\r\n")[:3], b"235")
        check(f"{title}: and commands go on", client.say("NOOP")[:3], b"250")


def encrypts(server):
    """Whether it does, where no guard is. OpenSMTPD 6.8 with OpenSSL 3, as in Debian 12, does not find its own key
    (https://github.com/OpenSMTPD/OpenSMTPD/issues/1171)."""
    with Client(INSIDE["IPv4"], side="inside") as client:
        client.reply()
        client.say("EHLO client")
        client.say("STARTTLS")
        try:
            tls.encrypt(client, CERT)
        except ssl.SSLError as error:
            print(f"  {server.package} does not encrypt: {error}", flush=True)
            return False
    return True


def servers():
    """Each server with a client that looks at each step."""
    seed = 0
    for make in (postfix, exim, opensmtpd, sendmail):
        server = make().start()
        if make is opensmtpd and not encrypts(server):
            server.stop()
            continue
        for personality in ("asa94", "modern"):
            guard(personality)
            for family in FAMILIES:
                seed += 1
                title = f"{server.package} behind {personality}, {family}"
                message = a_message(50_000, seed)
                tls.mail_in_tls(title, INSIDE[family], message, CERT)
                check_that(f"{title}: delivered", jail.delivered(server, message))
                auth(f"{title}, encrypted", INSIDE[family], True)
                # OpenSMTPD knows AUTH inside of TLS only.
                if make is not opensmtpd:
                    auth(title, INSIDE[family], False)
            check(f"{server.package} behind {personality}: tls-started", counters()["tls-started"], 4)
        guard("asa72")
        for family in FAMILIES:
            title = f"{server.package} behind asa72, {family}"
            with Client(INSIDE[family], timeout=30) as client:
                client.reply()
                said = client.say("EHLO client")
                check_that(f"{title}: the keyword is masked", re.search(rb"\n250.XXXXXXX[A-Z]\r", said), said)
                check_that(f"{title}: so it is not seen", b"STARTTLS" not in said, said)
                check(f"{title}: nor does the command pass", client.say("STARTTLS")[:2], b"50")
            if make is not opensmtpd:
                auth(title, INSIDE[family], False)
        check(f"{server.package} behind asa72: tls-started", counters()["tls-started"], 0)
        server.stop()


POSTFIX_CLIENT = (
    "smtp_tls_security_level = secure", "smtp_tls_secure_cert_match = " + tls.NAME, f"smtp_tls_CAfile = /{PLACE}/cert.pem",
    "smtp_sasl_auth_enable = yes", "smtp_sasl_password_maps = static:bob:secret", "smtp_sasl_security_options =",
    "smtp_sasl_mechanism_filter = plain")
NOT_OFFERED = "TLS is required, but was not offered by host"

# Each client, made to use both, and what it says where it cannot.
CLIENTS = (
    (lambda: jail.Postfix("outside", ROUTES, (*POSTFIX_CLIENT, "smtp_pix_workarounds =")), NOT_OFFERED),
    (lambda: jail.Exim("outside", ROUTES, smtp=(
        "hosts_require_tls = *", "hosts_require_auth = *", f"tls_verify_certificates = /{PLACE}/cert.pem",
        "tls_verify_hosts = *", "tls_verify_cert_hostnames ="), authenticators=(
        "plain:", "  driver = plaintext", "  public_name = PLAIN", "  client_send = ^bob^secret")),
     "a TLS session is required, but the server did not offer TLS support"),
    (lambda: jail.OpenSmtpd("outside", ROUTES, via="smtp+tls://lab@", out="auth <secrets> tls no-verify", extra=(
        'table secrets { lab = "bob:secret" }',)), "TLS required but not supported by remote host"),
    # sendmail goes on without: it is the server that refuses.
    (lambda: jail.Sendmail("outside", ROUTES, extra=(
        "define(`confAUTH_MECHANISMS', `PLAIN')dnl", "LOCAL_RULESETS", "Sauthinfo",
        'R$*\t$# "U:bob" "P:secret" "M:PLAIN"', "")),
     "550 Not without AUTH"),
)


def clients():
    """Each client with an Exim that takes mail inside of TLS from those who have said who they are."""
    server = with_certificate(jail.Exim(
        "inside", extra=(*EXIM_TLS, "auth_advertise_hosts = ${if def:tls_in_cipher{*}{}}"), authenticators=EXIM_KNOWS,
        rcpt=("  deny ! authenticated = *", "       message = Not without AUTH")), "Debian-exim").start()
    for seed, (make, refusal) in enumerate(CLIENTS):
        client = with_certificate(make(), "Debian-exim")
        client.start()
        for family, personality in zip(FAMILIES, ("asa94", "modern")):
            guard(personality)
            title = f"{client.package} through {personality}, {family}"
            message = a_message(50_000, 100 + 2 * seed + FAMILIES.index(family))
            before = len(server.said())
            client.submit(message, recipient="bob@" + DOMAINS[family])
            check_that(f"{title}: delivered", jail.delivered(server, message, 30), client.last_words())
            check_that(f"{title}: encrypted, and with AUTH",
                       re.search(r"P=esmtpsa X=TLS.* A=plain:bob", server.said()[before:]), server.said()[before:][-1500:])
            check(f"{title}: tls-started", counters()["tls-started"], 1)
            jail.end_of_session(client)
        guard("asa72")
        before = len(client.said())
        client.submit(a_message(400, 200 + seed), recipient="bob@inside.example")
        refused(f"{client.package} through asa72", client, before, refusal)
        client.stop()

    # Behind asa94 too, a Postfix as it comes takes what it reads for a PIX: it does without EHLO, and so without TLS.
    guard("asa94")
    client = with_certificate(jail.Postfix("outside", ROUTES, POSTFIX_CLIENT)).start()
    client.submit(a_message(400, 300), recipient="bob@inside.example")
    refused("Postfix as it comes through asa94", client, 0, NOT_OFFERED)
    client.stop()
    server.stop()


def refused(title, client, before, refusal):
    """The mail goes nowhere, and the client says why."""
    with contextlib.suppress(TimeoutError):
        wait_for("the client to say so", lambda: refusal in client.said()[before:], 20)
    check_that(f"{title}: {refusal}", refusal in client.said()[before:], client.last_words())
    check(f"{title}: tls-started", counters()["tls-started"], 0)


servers()
clients()
done()
