"""STARTTLS and AUTH work from end to end where they pass, are hidden where they do not, and nobody can put
plain text behind STARTTLS into what is encrypted (CVE-2011-0411, CVE-2021-38371)."""

import base64
import contextlib
import hashlib
import ssl

import tls
from generations import counters
from lab import FAMILIES, INSIDE, Client, Server, a_message, check, check_that, done, guard, sha256

SECRET = {b"PLAIN": [b"\0bob\0secret"], b"LOGIN": [b"bob", b"secret"]}
CHALLENGES = {b"PLAIN": [b""], b"LOGIN": [b"Username:", b"Password:"]}


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
                starttls = b"" if secure else b"250-STARTTLS\r\n"
                connection.sendall(b"250-in.inside.example\r\n" + starttls + b"250 AUTH PLAIN LOGIN\r\n")
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


def is_reset(client):
    """Reads until the connection ends; whether it was reset."""
    try:
        while client.socket.recv(65536):
            pass
    except ConnectionResetError:
        return True
    return False


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
            tls.mail_in_tls(f"asa94, {family}", INSIDE[family], message, CERT)
            check(f"asa94, {family}: SHA-256", server.digests, [sha256(message)])

        # The hole is there.
        guard("off")
        for family in FAMILIES:
            server.forget()
            with Client(INSIDE[family]) as client:
                client.reply()
                client.send(b"STARTTLS\r\nNOOP\r\n")
                check(f"off, {family}: ready", client.reply(), b"220 go ahead\r\n")
                tls.encrypt(client, CERT)
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


KEY, CERT = tls.certificate()
with_the_lax_server()
done()
