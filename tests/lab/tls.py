"""What the tests of STARTTLS share."""

import os
import ssl
import subprocess

import generations
from generations import counters
from lab import REFUSED, Client, check, check_that, temp_dir, wait_for

NAME = "in.inside.example"


def certificate():
    """A key and a certificate for it, signed by itself."""
    place = temp_dir()
    key, cert = place + "/key.pem", place + "/cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "30", "-subj", "/CN=" + NAME,
                    "-addext", "subjectAltName=DNS:" + NAME], check=True, stderr=subprocess.DEVNULL)
    os.chmod(key, 0o600)
    return key, cert


def encrypt(client, cert):
    """The handshake, on the client's side: the certificate must be the server's own."""
    context = ssl.create_default_context(cafile=cert)
    client.file.close()
    client.socket = context.wrap_socket(client.socket, server_hostname=NAME)
    client.file = client.socket.makefile("rb")


def mail_in_tls(title, address, message, cert):
    """EHLO, STARTTLS, EHLO again, and a mail; the guard has seen the beginning of it."""
    mail_in_tls_unseen(title, address, message, cert)
    # Nothing is inspected any more.
    wait_for("the count", lambda: counters()["tls-started"], 5)


def mail_in_tls_unseen(title, address, message, cert):
    """EHLO, STARTTLS, EHLO again, and a mail."""
    with Client(address, timeout=60) as client:
        client.reply()
        check_that(f"{title}: STARTTLS is offered", b"STARTTLS\r\n" in client.say("EHLO client"))
        check(f"{title}: STARTTLS is answered", client.say("STARTTLS")[:3], b"220")
        encrypt(client, cert)
        check_that(f"{title}: encrypted", client.socket.version() in ("TLSv1.2", "TLSv1.3"))
        check_that(f"{title}: EHLO inside of TLS", client.say("EHLO client").startswith(b"250-" + NAME.encode()))
        check_that(f"{title}: goodmorning inside of TLS", client.say("goodmorning") not in (b"", REFUSED))
        check(f"{title}: mail inside of TLS", generations.send_mail(client, message, "RSET")[:3], b"250")
