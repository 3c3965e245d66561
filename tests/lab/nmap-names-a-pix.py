"""nmap's service detection names the guarded port a Cisco PIX sanitized smtpd."""

import shutil

from lab import FAMILIES, INSIDE, Server, check_that, done, guard, run

if not shutil.which("nmap"):
    raise RuntimeError("nmap is missing; run scripts/setup")


def scan(family):
    """What nmap says about the port."""
    options = ["-6"] if family == "IPv6" else []
    return run("outside", "nmap", *options, "-n", "-Pn", "-sT", "-sV", "-p", "25", INSIDE[family]).stdout


with Server(greeting=b"220 mail.example.com ESMTP Postfix (Debian/GNU)\r\n"):
    for family in FAMILIES:
        guard("mailguard")
        said = scan(family)
        check_that(f"{family}: a PIX", "Cisco PIX sanitized smtpd" in said, said)
        guard("off")
        said = scan(family)
        check_that(f"{family}: with off the server's own name", "Postfix" in said and "PIX" not in said, said)
done()
