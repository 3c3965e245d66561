"""Our own load generator against our own sink: what one made, the other finds unchanged, by the sums that
the messages carry."""

import json
import signal

import lab
from lab import INSIDE, MAILGUARD, check, check_that, done, guard, run, start, temp_dir, wait_for

where = temp_dir()
for personality, pipelining in (("mailguard", "on"), ("mailguard", "off"), ("off", "on")):
    guard(personality)
    log = f"{where}/sink-{personality}-{pipelining}"
    sink = start("inside", MAILGUARD, "sink", "--listen", "[::]:25", "--expect-load", "--json", log=log)
    wait_for("the sink", lambda: run("inside", "ss", "-Hltn", "sport = :25").stdout)
    for family, host in (("IPv4", INSIDE["IPv4"]), ("IPv6", f"[{INSIDE['IPv6']}]")):
        ran = run("outside", MAILGUARD, "load", f"{host}:25", "--connections", "50", "--size", "100K",
                  "--messages", "5", "--count", "500", "--pipelining", pipelining, "--json")
        title = f"{personality}, pipelining {pipelining}, {family}"
        check_that(f"{title}: the load ends well", ran.returncode == 0, ran.stdout[-800:])
        print("   ", ran.stdout.strip()[-600:])
    sink.send_signal(signal.SIGTERM)
    sink.wait(10)
    said = lab.read(log)
    totals = json.loads(said[said.index("{"):])
    check(f"{title}: messages", totals["messages"], 1000)
    check(f"{title}: checked", totals["checked"], 1000)
    check(f"{title}: changed on the way", totals["check_failures"], 0)
done()
