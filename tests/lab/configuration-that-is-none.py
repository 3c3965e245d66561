"""A startup configuration that is none: reload and SIGHUP say so in a line, and the old one stays in force. When the keeper of
the file is killed, in the middle of writing too, the file is whole, write memory says so, and the guard lives."""

import os
import shutil
import signal
import subprocess
import time

from lab import (INSIDE, MAILGUARD, REFUSED, ROOT, Client, Server, a_message, check, check_that, done, guard_pid, lab, read,
                 send_mail, sha256, temp_dir, wait_for)

FOLDER = temp_dir()
PATH = os.path.join(FOLDER, "startup")
STARTUP = "personality mailguard\nhostname gate\nknob greeting all\n"


def console(script):
    """Lines at the console; what was printed, and the exit status."""
    ran = subprocess.run([os.path.join(ROOT, "netns", "lab"), "console"], input="enable\n\n" + script, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    return ran.stdout, ran.returncode


def running():
    return console("show running-config\n")[0]


def clear():
    """Nothing is where the file was."""
    if os.path.isdir(PATH):
        shutil.rmtree(PATH)
    elif os.path.lexists(PATH):
        os.remove(PATH)


def a_file(octets):
    def make():
        with open(PATH, "wb") as file:
            file.write(octets)
    return make


BAD = {
    "a line of 1 MB": (a_file(b"x" * (1 << 20)), "a line has at most 4096 octets"),
    "a million lines": (a_file(b"x\n" * (1 << 20)), "the rest is not read"),
    "a file that is half written": (a_file(b"hostname other\nfixup prot"), "startup:2:"),
    "a saved file that was cut short": (a_file(b": Saved\n:\nfixup protocol smtp 25\n"), "the end is missing"),
    "a binary file": (a_file(b"\x7fELF\xff\0\n" * 100), "it is no text"),
    "a file that is too long": (a_file(b"!\n" * (3 << 20)), "longer than"),
    "a directory": (lambda: os.mkdir(PATH), "it is no file"),
    "a pipe": (lambda: os.mkfifo(PATH), "it is no file"),
    # Root may read whatever there is to read.
    "a file that cannot be read": (lambda: os.symlink(PATH, PATH), "cannot read"),
}


def said_since(before):
    return lab("guard", "log")[before:]


def keeper(guard):
    """The pid of the keeper of that guard."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        words = read(f"/proc/{name}/stat").rpartition(")")[2].split()
        if len(words) > 1 and int(words[1]) == guard and "\0keep\0" in read(f"/proc/{name}/cmdline"):
            return int(name)
    raise RuntimeError("there is no keeper")


def mail_passes(title):
    with Server() as server, Client(INSIDE["IPv4"]) as client:
        greeting = client.reply()
        check_that(f"{title}: the greeting is that of the configuration", set(greeting[4:].strip()) == set(b"*"), greeting)
        check(f"{title}: EHLO is refused", client.say("EHLO a"), REFUSED)
        message = a_message(5_000)
        check(f"{title}: mail is accepted", send_mail(client, message), b"250 message accepted\r\n")
        check(f"{title}: it is whole", server.digests, [sha256(message)])


def starts():
    clear()
    a_file(STARTUP.encode())()
    lab("guard", "start", "--config", PATH)
    return guard_pid()


pid = starts()
before = running()
for title, (make, why) in BAD.items():
    clear()
    make()
    said, status = console("reload noconfirm\n")
    check_that(f"{title}: reload says so", status == 1 and why in said and len(said) < 50_000, said[:300])
    heard = len(lab("guard", "log"))
    os.kill(pid, signal.SIGHUP)
    wait_for(f"{title}: SIGHUP", lambda w=why, at=heard: w in said_since(at))
    check_that(f"{title}: in a line or some", len(said_since(heard)) < 50_000)
    check(f"{title}: the old one is in force", running(), before)
mail_passes("after all that")
clear()
a_file(STARTUP.encode())()
os.kill(pid, signal.SIGHUP)
wait_for("a good one", lambda: "the startup configuration is in force" in lab("guard", "log"))
check("a good one again", running(), before)

# A folder that is gone, and the keeper gone.
check("it is written", console("write memory\n")[1], 0)
written = read(PATH)
os.kill(keeper(pid), signal.SIGKILL)
for words in ("write memory", "reload noconfirm", "show startup-config", "write erase"):
    said, status = console(words + "\n")
    check_that(f"without a keeper: {words} says so", status == 1 and "the keeper of" in said and "has gone" in said, said)
heard = len(lab("guard", "log"))
os.kill(pid, signal.SIGHUP)
wait_for("SIGHUP without a keeper", lambda: "has gone" in said_since(heard))
check("without a keeper: the file", read(PATH), written)
check("without a keeper: the same guard", guard_pid(), pid)
check("without a keeper: the configuration", running(), before)
mail_passes("without a keeper")

for turn in range(3):
    pid = starts()
    script = "".join(f"configure terminal\nhostname gate{number}\nend\nwrite memory\n" for number in range(500))
    writer = subprocess.Popen([os.path.join(ROOT, "netns", "lab"), "console"], stdin=subprocess.PIPE, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    writer.stdin.write("enable\n\n" + script)
    writer.stdin.close()
    wait_for("the first is written", lambda: "hostname gate1" in read(PATH))
    time.sleep(0.003 * turn)
    os.kill(keeper(pid), signal.SIGKILL)
    said = writer.stdout.read()
    check_that(f"killed at writing {turn}: it is said", writer.wait(60) == 1 and "has gone" in said, said[-300:])
    checked = subprocess.run([MAILGUARD, "check", PATH], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    check(f"killed at writing {turn}: the file", (checked.returncode, read(PATH).rstrip().endswith(": end")), (0, True))
    print("   ", next(line for line in read(PATH).splitlines() if line.startswith("hostname")))
    check(f"killed at writing {turn}: the same guard", guard_pid(), pid)
done()
