"""What Microsoft KB 320027 says that mail suffers behind a PIX, and that it does not where nothing is refused: AUTH is
lost and mail to others with it, 8BITMIME is not on offer, servers cannot talk among themselves, KILL and WIZ do not
get through, and nobody can tell what was refused."""

import base64

import jail
from generations import OK
from lab import FAMILIES, INSIDE, REFUSED, Client, Server, check, check_that, commands, done, guard, wait_for

DENIED = b"550 5.7.1 Unable to relay for bob@other.example\r\n"
PLAIN = "AUTH PLAIN " + base64.b64encode(b"\0alice\0secret").decode()


class Exchange(Server):
    """Relays for those who have said who they are, and for nobody else. It knows words that RFC 5321 does not."""

    def _dialogue(self, connection, file, lines):
        knows = False
        while line := file.readline():
            text = line.rstrip(b"\r\n")
            lines.append(text)
            self.transcript.append(text)
            verb = text.split(b" ")[0].upper()
            if verb == b"AUTH" or verb == b"X-EXPS":
                knows = True
                connection.sendall(b"235 2.7.0 welcome\r\n")
            elif text.upper().startswith(b"RCPT TO:") and not text.endswith(b"@inside.example>") and not knows:
                connection.sendall(DENIED)
            elif verb in (b"X-LINK2STATE", b"WIZ", b"KILL"):
                connection.sendall(b"200 done\r\n")
            elif verb in (b"EHLO", b"HELO", b"MAIL", b"RCPT", b"NOOP", b"RSET"):
                connection.sendall(b"250 2.0.0 ok\r\n")
            else:
                connection.sendall(b'500 5.5.1 What is "' + text + b'"?\r\n')


def dialogue(address, lines):
    """The replies to all of them."""
    with Client(address) as client:
        client.reply()
        return [client.say(line) for line in lines]


def no_auth(server):
    """A07, A10, A17, A18: the firewall takes AUTH away, and the server believes that a stranger wants to relay."""
    lines = ("HELO client", PLAIN, "MAIL FROM:<alice@inside.example>", "RCPT TO:<bob@other.example>")
    spelt_x = b'500 5.5.1 What is "XXXX ' + PLAIN[5:].encode() + b'"?\r\n'
    answers = {
        ("pix40",): OK,
        ("pix44",): spelt_x,
        ("pix6x",): spelt_x,
        ("pix5x", "--set", "refusal=noop"): b"250 2.0.0 ok\r\n",
        ("mailguard",): REFUSED,
    }
    for personality, said in answers.items():
        guard(*personality)
        for family in FAMILIES:
            server.forget()
            title = f"{' '.join(personality)}, {family}"
            replies = dialogue(INSIDE[family], lines)
            check(f"{title}: AUTH", replies[1], said)
            check(f"{title}: and relaying is denied", replies[3], DENIED)
            check_that(f"{title}: AUTH never came", not any("AUTH" in line for line in commands(server.transcript)))
    for personality in ("asa72", "modern", "off"):
        guard(personality)
        for family in FAMILIES:
            replies = dialogue(INSIDE[family], lines)
            check(f"{personality}, {family}: AUTH", replies[1], b"235 2.7.0 welcome\r\n")
            check(f"{personality}, {family}: and relaying is not denied", replies[3], b"250 2.0.0 ok\r\n")


def no_private_words(server):
    """A13 to A15, A50: what Exchange servers say to each other, and what WIZ and KILL do, stays outside."""
    words = ("X-LINK2STATE LAST CHUNK={1}", "X-EXPS GSSAPI", "WIZ", "KILL")
    for personality in ("pix40", "pix44", "pix6x", "asa72", "mailguard", "modern"):
        guard(personality)
        for family in FAMILIES:
            server.forget()
            replies = dialogue(INSIDE[family], words)
            seen = " ".join(commands(server.transcript))
            check_that(f"{personality}, {family}: none of them reaches the server",
                       not any(word.split(" ")[0] in seen for word in words), seen)
            check_that(f"{personality}, {family}: nor is done",
                       not any(reply.startswith((b"200", b"235")) for reply in replies), replies)
    guard("off")
    for family in FAMILIES:
        check(f"off, {family}: all are done", [reply[:3] for reply in dialogue(INSIDE[family], words)],
              [b"200", b"235", b"200", b"200"])


def nobody_can_tell(server):
    """A51, A52, A58: what was refused is answered like what was not."""
    for personality in (("pix41",), ("pix5x", "--set", "refusal=noop")):
        guard(*personality)
        for family in FAMILIES:
            server.forget()
            refused, evil, passed = dialogue(INSIDE[family], ("goodmorning", "WIZ", "NOOP"))
            check(f"{' '.join(personality)}, {family}: one refusal is like the other", refused, evil)
            check(f"{' '.join(personality)}, {family}: and the code that of NOOP", refused[:3], passed[:3])
            check(f"{' '.join(personality)}, {family}: the server sees", commands(server.transcript), ["NOOP"] * 3)


def no_8bitmime():
    """A11: where EHLO gets nowhere a sender cannot know that it may send eight bits. Postfix sends other ones."""
    text = "Zwölf Boxkämpfer\r\n".encode()
    message = (b"From: <alice@outside.example>\r\nSubject: a\r\nMIME-Version: 1.0\r\n"
               b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + text)
    with Server(greeting=b"220 mail.example.com ESMTP\r\n", keywords=(b"8BITMIME",)) as server:
        for number, (personality, is_whole) in enumerate((("pix6x", False), ("asa72", False), ("modern", True),
                                                          ("off", True))):
            guard(personality)
            family = FAMILIES[number % 2]
            server.forget()
            client = jail.Postfix("outside", relay=INSIDE[family]).start()
            client.submit(message)
            wait_for("the mail", lambda: server.messages, 30)
            got = server.messages[0]
            check(f"{personality}, {family}: eight bits arrive", text in got, is_whole)
            check(f"{personality}, {family}: seven instead", b"Zw=C3=B6lf" in got, not is_whole)
            client.stop()


with Exchange(greeting=b"220 in.inside.example Microsoft ESMTP MAIL Service ready\r\n") as exchange:
    no_auth(exchange)
    no_private_words(exchange)
    nobody_can_tell(exchange)
no_8bitmime()
done()
