"""What is wrong on the command line is told in one line that says what to do."""

import subprocess

from lab import MAILGUARD, at_end, check_that, done, run


def says(title, words, *argv):
    """The guard ends at once, with a status, and these words are in its last line."""
    try:
        ran = run("guard", *argv, timeout=10)
    except subprocess.TimeoutExpired:
        check_that(f"{title}: ends", False, "but it runs")
        return
    check_that(f"{title}: fails", ran.returncode not in (0, 101, -6), f"status {ran.returncode}: {ran.stdout}")
    for word in words:
        check_that(f"{title}: says {word}", word in ran.stdout, f"but says: {ran.stdout}")
    check_that(f"{title}: no panic", "panicked" not in ran.stdout, ran.stdout)


legs = ("--outside", "err-out", "--inside", "err-in")
says("an unknown personality", ["mailguard", "pix40", "off"], MAILGUARD, "run", *legs, "--personality", "pix99")
says("a bad port", ["port"], MAILGUARD, "run", *legs, "--port", "0")
says("a port that is none", ["port"], MAILGUARD, "run", *legs, "--port", "smtp")
says("a name that is too long", ["15"], MAILGUARD, "run", "--outside", "a-name-that-is-too-long", "--inside", "x")
says("a name in use", ["wire-inside"], MAILGUARD, "run", "--outside", "wire-inside", "--inside", "err-in")
says("both legs the same", ["err-out"], MAILGUARD, "run", "--outside", "err-out", "--inside", "err-out")
says("no privilege", ["root"], "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
     "--inh-caps=-all", MAILGUARD, "run", *legs)
says("no /dev/net/tun", ["/dev/net/tun"], "unshare", "--mount", "--propagation", "private", "sh", "-c",
     f"mount -t tmpfs none /dev/net && exec {MAILGUARD} run --outside err-out --inside err-in")
bridge = (MAILGUARD, "run", "--bridge")
says("a bridge to nowhere", ["err-none", "ip link"], *bridge, "wire-outside", "err-none")
says("a bridge of what has no frames", ["Ethernet"], *bridge, "lo", "wire-inside")
says("a bridge from an interface to itself", ["wire-inside", "different"], *bridge, "wire-inside", "wire-inside")
says("a bridge of one interface", ["2"], *bridge, "wire-inside")
says("a bridge that is open without a guard", ["--fail-open"], *bridge, "wire-outside", "wire-inside", "--fail-open")
says("a bridge and legs", ["--outside"], *bridge, "wire-outside", "wire-inside", "--outside", "err-out")
says("a bridge without privilege", ["CAP_NET_RAW", "root"], "setpriv", "--reuid", "65534", "--regid", "65534",
     "--clear-groups", "--inh-caps=-all", *bridge, "wire-outside", "wire-inside")
run("guard", "ip", "link", "add", "err-bridge", "type", "bridge", check=True)
run("guard", "ip", "link", "add", "err-port", "type", "veth", "peer", "name", "err-peer", check=True)
run("guard", "ip", "link", "set", "err-port", "master", "err-bridge", check=True)
at_end(lambda: [run("guard", "ip", "link", "del", name) for name in ("err-bridge", "err-port")])
says("a port of another bridge", ["nomaster"], *bridge, "wire-outside", "err-port")
done()
