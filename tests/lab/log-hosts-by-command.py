"""logging host, typed at the running guard, which is in its jail: a real rsyslog receives what it is to receive, over UDP and TCP and
both families, from the next message on, and nothing more once the host is taken away."""

import re

import consoles
import watchers
import lab
from lab import INSIDE, Client, Server, check, check_that, done, forget_connections, guard, wait_for

if lab.IS_BRIDGE:
    lab.skip("a bridge has no address from which it could send")

rsyslog = watchers.Rsyslog().start()
forget_connections()
guard("asa94")


def configure(*lines):
    consoles.enabled("configure terminal", *lines)


def refusal(verb):
    """A connection whose command is refused; who asks for messages looks for the verb."""
    with Client(INSIDE["IPv4"]) as client:
        client.reply()
        client.say(verb)
        client.say("QUIT")
        client.rest()


def found(pattern, by=None):
    return [one for one in rsyslog.messages(by) if re.fullmatch(pattern, one["tag"] + one["text"])]


def arrives(title, by, pattern, facility="local4"):
    try:
        one = wait_for(title, lambda: found(pattern, by))[0]
        check(f"{by}: {title}", one["facility"], facility)
    except TimeoutError:
        check_that(f"{by}: {title}", False, str(rsyslog.messages(by)[-5:]))


def refused(verb):
    return rf".*%MAILGUARD-6-100005: Refused SMTP command {verb} from .*"


with Server():
    refusal("TURN")
    configure("logging host inside " + INSIDE["IPv4"], "logging trap informational")
    refusal("SOML")
    check("without logging enable nothing is sent", rsyslog.messages(), [])
    configure("logging enable")
    refusal("EXPN")
    arrives("a refusal", "udp", refused("EXPN"))
    arrives("the connection", "udp", r".*%ASA-6-302013: Built inbound TCP connection 3 for .*")
    check("what was before is not sent", found(refused("TURN")) + found(refused("SOML")), [])
    # A second one, over TCP; another facility; a message made more serious; and the level of all lowered.
    configure(f"logging host inside {INSIDE['IPv4']} tcp/{watchers.SYSLOG_TCP}", "logging facility 23",
              "logging message 302014 level alerts", "logging trap warnings")
    rsyslog.forget()
    refusal("ATRN")
    for by in ("udp", "tcp"):
        arrives("a message that was made more serious", by, r".*%ASA-1-302014: Teardown TCP connection 4 for .*", "local7")
    check("what is less severe is not sent", found(refused("ATRN")) + found(r".*302013.*"), [])
    # One is taken away, the other stays; then IPv6.
    configure("logging trap informational", "no logging host inside " + INSIDE["IPv4"],
              "logging host inside " + INSIDE["IPv6"])
    refusal("ONEX")
    arrives("a refusal by IPv6", "udp", refused("ONEX"), "local7")
    check("not by TCP any more", found(refused("ONEX"), "tcp"), [])
    running = consoles.enabled("show running-config")
    check_that("show running-config has it", f"\nlogging host inside {INSIDE['IPv6']}\n" in running, running)
    configure("no logging enable")
    rsyslog.forget()
    refusal("VERB")
    configure("logging enable")
    refusal("WIZ")
    arrives("a refusal, switched on again", "udp", r".*Refused SMTP command .*", "local7")
    check("what was in between is not sent", found(refused("VERB")), [])
done()
