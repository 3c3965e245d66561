"""Mail both ways through wires that delay, lose 1 % and let segments overtake each other by up to 30 places, on either
side of the guard: with Cubic, Reno and BBR, with SACK and timestamps and without, every mail arrives whole."""

import itertools

import relay
from lab import at_end, check, check_that, done, guard, lab
from losstable import Bench, a_port

MAILS = 8
FAULT = {"lose": 0.01, "shuffle": [0.02, 30]}

bench = Bench(delay_ms=2)
at_end(bench.kernel)
for wire, way in itertools.product(relay.SIDES, (relay.TO_SERVER, relay.TO_CLIENT)):
    bench.relay.strike(0, wire, way, FAULT)
for congestion, (sack, timestamps) in itertools.product(("cubic", "reno", "bbr"), ((1, 1), (1, 0), (0, 1), (0, 0))):
    bench.congestion = congestion
    bench.kernel(sack, timestamps)
    guard("mailguard")
    jobs = [(way, a_port()) for _ in range(MAILS // 2) for way in ("in", "out")]
    name = f"{congestion}, SACK {sack}, timestamps {timestamps}"
    bench.mails(name, jobs)
    struck = {side: 0 for side in relay.SIDES}
    for _, port in jobs:
        for lane, said in bench.relay.report(port).items():
            struck[lane.split()[0]] += said["struck"]
    counted = dict(line.split()[:2] for line in lab("guard", "stop").splitlines() if len(line.split()) == 2)
    check_that(f"{name}: segments lost or late: {struck}, that waited here: {counted['segments-absorbed']}",
               min(struck.values()) > MAILS and int(counted["segments-absorbed"]) > 0)
    check(f"{name}: commands refused", counted["commands-refused"], str(MAILS))
done()
