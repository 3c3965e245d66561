"""STARTTLS and AUTH work from end to end where they pass, are hidden where they do not, and nobody can put
plain text behind STARTTLS into what is encrypted (CVE-2011-0411, CVE-2021-38371)."""

import base64
import contextlib
import hashlib
import os
import ssl
import subprocess

import generations
import jail
from generations import counters
from lab import (FAMILIES, INSIDE, REFUSED, Client, Server, a_message, check, check_that, done, guard, sha256,
                 temp_dir, wait_for)

NAME = "in.inside.example"
SECRET = {b"PLAIN": [b"\0bob\0secret"], b"LOGIN": [b"bob", b"secret"]}
CHALLENGES = {b"PLAIN": [b""], b"LOGIN": [b"Username:", b"Password:"]}


def certificate():
    """A key and a certificate for it, signed by itself."""
    place = temp_dir()
    key, cert = place + "/key.pem", place + "/cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "30", "-subj", "/CN=" + NAME,
                    "-addext", "subjectAltName=DNS:" + NAME], check=True, stderr=subprocess.DEVNULL)
    return key, cert


class LaxServer(Server):
    """A scripted server with TLS and AUTH. It has the hole: what came in plain text behind STARTTLS it runs after
    the handshake. heard: what it took for commands, and whether it did so inside of TLS."""

    def __init__(self, behind_ready=b""):
        self.heard = []
        self.behind_ready = behind_ready
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(CERT, KEY)
        super().__init__(greeting=b"220 in.inside.example ESMTP\r\n")

    def forget(self):
        super().forget()
        self.heard = []

    def _serve(self, connection):
        connection.settimeout(20)
        with contextlib.suppress(OSError):
            self._talk(connection)
        connection.close()

    def _talk(self, connection):
        self.buffer = b""
        connection.sendall(self.greeting)
        secure = False
        while True:
            text = self._line(connection)
            self.heard.append((secure, text))
            verb, _, rest = text.partition(b" ")
            verb = verb.upper()
            if verb == b"EHLO":
                tls = b"" if secure else b"250-STARTTLS\r\n"
                connection.sendall(b"250-in.inside.example\r\n" + tls + b"250 AUTH PLAIN LOGIN\r\n")
            elif verb == b"STARTTLS":
                connection.sendall(b"220 go ahead\r\n" + self.behind_ready)
                connection = self.context.wrap_socket(connection, server_side=True)
                secure = True
            elif verb == b"AUTH":
                connection.sendall(b"235 welcome\r\n" if self._knows(connection, rest) else b"535 who?\r\n")
            elif verb == b"DATA":
                connection.sendall(b"354 go ahead\r\n")
                self._message(connection)
                connection.sendall(b"250 message accepted\r\n")
            elif verb in (b"HELO", b"MAIL", b"RCPT", b"RSET", b"NOOP"):
                connection.sendall(b"250 ok\r\n")
            elif verb == b"QUIT":
                connection.sendall(b"221 bye\r\n")
                return
            else:
                connection.sendall(b'500 5.5.1 What is "' + text + b'"?\r\n')

    def _line(self, connection):
        while b"\n" not in self.buffer:
            got = connection.recv(65536)
            if not got:
                raise ConnectionError
            self.buffer += got
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.removesuffix(b"\r")

    def _knows(self, connection, rest):
        kind, _, initial = rest.partition(b" ")
        answers = [initial] if initial else []
        for challenge in CHALLENGES[kind][len(answers):]:
            connection.sendall(b"334 " + base64.b64encode(challenge) + b"\r\n")
            answers.append(self._line(connection))
        return [base64.b64decode(answer) for answer in answers] == SECRET[kind]

    def _message(self, connection):
        digest = hashlib.sha256()
        while (line := self._line(connection)) != b".":
            digest.update(line.removeprefix(b".") + b"\r\n")
        self.digests.append(digest.hexdigest())


def encrypt(client):
    """The handshake, on the client's side: the certificate must be the server's own."""
    context = ssl.create_default_context(cafile=CERT)
    client.file.close()
    client.socket = context.wrap_socket(client.socket, server_hostname=NAME)
    client.file = client.socket.makefile("rb")


def is_reset(client):
    """Reads until the connection ends; whether it was reset."""
    try:
        while client.socket.recv(65536):
            pass
    except ConnectionResetError:
        return True
    return False


def mail_in_tls(title, address, message):
    """EHLO, STARTTLS, EHLO again, and a mail."""
    with Client(address, timeout=60) as client:
        client.reply()
        check_that(f"{title}: STARTTLS is offered", b"STARTTLS\r\n" in client.say("EHLO client"))
        check(f"{title}: STARTTLS is answered", client.say("STARTTLS")[:3], b"220")
        encrypt(client)
        check_that(f"{title}: encrypted", client.socket.version() in ("TLSv1.2", "TLSv1.3"))
        check_that(f"{title}: EHLO inside of TLS", client.say("EHLO client").startswith(b"250-" + NAME.encode()))
        # Nothing is inspected any more.
        check_that(f"{title}: goodmorning inside of TLS", client.say("goodmorning") not in (b"", REFUSED))
        check(f"{title}: mail inside of TLS", generations.send_mail(client, message, "RSET")[:3], b"250")
    wait_for("the count", lambda: counters()["tls-started"], 5)


def auth(title, address, kind, initial):
    """AUTH by that mechanism; its replies, in order."""
    with Client(address) as client:
        client.reply()
        client.say("EHLO client")
        answers = [base64.b64encode(part).decode() for part in SECRET[kind]]
        first = f"AUTH {kind.decode()}"
        if initial:
            first += " " + answers.pop(0)
        replies = [client.say(first)]
        for answer in answers:
            if not replies[-1].startswith(b"334"):
                break
            replies.append(client.say(answer))
        check(f"{title}: AUTH {kind.decode()}{' at once' if initial else ''}", replies[-1], b"235 welcome\r\n")
        check(f"{title}: and commands go on", client.say("RSET"), b"250 ok\r\n")
        check_that(f"{title}: which are judged", not client.say("X-EVIL").startswith(b"250"))


def with_postfix():
    """Mail inside of TLS to a real server."""
    server = jail.Postfix("inside", extra=(
        "smtpd_tls_security_level = may", "smtpd_tls_cert_file = /etc/postfix/cert.pem",
        "smtpd_tls_key_file = /etc/postfix/key.pem", "smtpd_tls_loglevel = 1"))
    for path, name in ((KEY, "key.pem"), (CERT, "cert.pem")):
        with open(path) as file:
            server.write("etc/postfix/" + name, file.read(), 0o600)
    server.start()
    for number, personality in enumerate(("asa94", "modern")):
        guard(personality)
        for family in FAMILIES:
            message = a_message(200_000, number * 2 + FAMILIES.index(family))
            mail_in_tls(f"Postfix behind {personality}, {family}", INSIDE[family], message)
            check_that(f"Postfix behind {personality}, {family}: delivered", jail.delivered(server, message))
        check(f"{personality}: tls-started", counters()["tls-started"], 2)
    check("Postfix has seen TLS", server.said().count("TLS connection established from"), 4)

    guard("asa72")
    for family in FAMILIES:
        with Client(INSIDE[family]) as client:
            client.reply()
            said = client.say("EHLO client")
            check_that(f"Postfix behind asa72, {family}: the keyword is masked",
                       b"250-XXXXXXXA\r\n" in said and b"STARTTLS" not in said, said)
            check_that(f"Postfix behind asa72, {family}: the command too", client.say("STARTTLS")[:2] == b"50")
    check("asa72: tls-started", counters()["tls-started"], 0)
    server.stop()


def with_the_lax_server():
    """AUTH, the masks, and injections."""
    message = a_message(50_000)
    with LaxServer() as server:
        for personality in ("asa72", "asa94", "modern", "watchguard"):
            guard(personality)
            for kind, initial, family in ((b"PLAIN", True, "IPv4"), (b"PLAIN", False, "IPv6"),
                                          (b"LOGIN", False, "IPv4"), (b"LOGIN", True, "IPv6")):
                auth(f"{personality}, {family}", INSIDE[family], kind, initial)
        guard("asa72")
        for family in FAMILIES:
            server.forget()
            with Client(INSIDE[family]) as client:
                client.reply()
                check(f"asa72, {family}: the keyword", client.say("EHLO client"),
                      b"250-in.inside.example\r\n250-XXXXXXXA\r\n250 AUTH PLAIN LOGIN\r\n")
                check(f"asa72, {family}: the command", client.say("STARTTLS"), b'500 5.5.1 What is "XXXXXXXX"?\r\n')
        for family in FAMILIES:
            guard("asa94")
            server.forget()
            mail_in_tls(f"asa94, {family}", INSIDE[family], message)
            check(f"asa94, {family}: SHA-256", server.digests, [sha256(message)])

        # The hole is there.
        guard("off")
        for family in FAMILIES:
            server.forget()
            with Client(INSIDE[family]) as client:
                client.reply()
                client.send(b"STARTTLS\r\nNOOP\r\n")
                check(f"off, {family}: ready", client.reply(), b"220 go ahead\r\n")
                encrypt(client)
                check(f"off, {family}: an answer to what was never encrypted", client.reply(), b"250 ok\r\n")
            check_that(f"off, {family}: the server ran it", (True, b"NOOP") in server.heard, server.heard)
        for personality in ("asa94", "modern"):
            for family in FAMILIES:
                guard(personality)
                server.forget()
                with Client(INSIDE[family]) as client:
                    client.reply()
                    client.say("EHLO client")
                    client.send(b"STARTTLS\r\nNOOP\r\n")
                    check_that(f"{personality}, {family}: reset", is_reset(client))
                told = counters()
                check(f"{personality}, {family}: starttls-injections", told["starttls-injections"], 1)
                check(f"{personality}, {family}: inspection-resets", told["inspection-resets"], 1)
                check_that(f"{personality}, {family}: NOOP never came",
                           b"NOOP" not in [text for _, text in server.heard], server.heard)

    # The other way about: a reply behind the server's 220.
    with LaxServer(behind_ready=b"250 injected\r\n") as server:
        for personality in ("off", "asa94", "modern"):
            for family in FAMILIES:
                guard(personality)
                with Client(INSIDE[family]) as client:
                    client.reply()
                    client.send(b"STARTTLS\r\n")
                    if personality == "off":
                        check(f"off, {family}: both", client.reply() + client.reply(),
                              b"220 go ahead\r\n250 injected\r\n")
                        continue
                    check_that(f"{personality}, {family}: reset for the server's words", is_reset(client))
                    check(f"{personality}, {family}: counted", counters()["starttls-injections"], 1)


KEY, CERT = certificate()
os.chmod(KEY, 0o600)
with_the_lax_server()
with_postfix()
done()
