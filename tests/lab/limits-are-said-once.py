"""A limit that is reached is said once on standard error: as a message where messages go there, else as a line of the program."""

from lab import INSIDE, Client, Server, check_that, done, guard, lab, wait_for

PLAIN, MESSAGE = "per-client-max, ", "%MAILGUARD-4-100004: Worker "

for options, is_message in ((("--log-stderr",), True), ((), False), (("--log-stderr", "--log-level", "errors"), False),
                            (("--log-file", "/dev/null"), False)):
    guard("mailguard", "--per-client-max", "2", *options)
    with Server(), Client(INSIDE["IPv4"]) as one, Client(INSIDE["IPv4"]) as other:
        one.reply()
        other.reply()
        try:
            Client(INSIDE["IPv4"], timeout=0.5)
            check_that(f"{options}: the third connection is refused", False)
        except TimeoutError:
            pass
        wait_for(f"{options}: it is said", lambda: PLAIN in lab("guard", "log"))
        one.say("QUIT")
        other.say("QUIT")
    lines = [line for line in lab("guard", "log").splitlines() if PLAIN in line]
    said = lab("guard", "stop")
    messages = [line for line in lines if MESSAGE in line]
    check_that(f"{options}: it is said in one way only", len(messages) == (len(lines) if is_message else 0), str(lines))
    # Who stops the guard reads the counter: each drop was said of once.
    times = sum(int(line.split(PLAIN)[1].split(" times")[0]) for line in lines)
    counted = next(int(line.split()[1]) for line in said.splitlines() if line.split()[:1] == ["per-client-max"])
    check_that(f"{options}: once for each time", 0 < times <= counted, f"{times} said, {counted} counted: {lines}")
done()
