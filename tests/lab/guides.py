"""Reads the guides as tests: blocks of shell commands with what they print, sessions at the console, SMTP dialogues."""

import contextlib
import os
import re
import signal
import subprocess
import tempfile

from lab import INSIDE, ROOT, Client, at_end, check, check_that, temp_dir, wait_for

# What `scripts/test` and `tests/lab/run` have done before, and do behind it.
ONCE = ("scripts/setup", "cargo build --release", "export PATH=$PWD/target/release:$PATH", "netns/lab up", "netns/lab down",
        "rm startup-config")
PROMPT = re.compile(r"^(?:[\w.-]+(?:\([\w-]+\))?[>#] |Password: ?|Proceed with reload\? \[confirm\] ?)")


def blocks(path):
    """Every fenced block: the line where it begins, its words, its lines."""
    found, words = [], None
    with open(path) as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip("\n")
            if line.startswith("```") and words is None:
                words, lines, at = line[3:].split(), [], number
            elif line == "```":
                found.append((at, words, lines))
                words = None
            elif words is not None:
                lines.append(line)
    return found


def is_like(said, wanted):
    """Whether it says what is wanted, where ... is anything."""
    pattern = "\n".join(re.escape(line.rstrip()) for line in wanted).replace(r"\.\.\.", "\0")
    # A line of dots is any lines, or none.
    pattern = pattern.replace("\n\0\n", "\n(?:.*\n)*?").replace("\0", ".*")
    text = "\n".join(line.rstrip() for line in said.splitlines())
    return re.search(f"^{pattern}$", text, re.M) is not None


class Guide:
    """One guide, from its first block to its last."""

    def __init__(self, name):
        self.path = os.path.join(ROOT, "netns", name)
        # Its commands are typed in the directory of the project; what they write is to go.
        self.place = temp_dir()
        os.symlink(os.path.join(ROOT, "netns"), os.path.join(self.place, "netns"))
        built = os.environ.get("MAILGUARD") or os.path.join(
            os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release", "mailguard")
        self.environment = {**os.environ, "MAILGUARD": built, "PATH": f"{os.path.dirname(built)}:{os.environ['PATH']}"}
        self.said = ""
        self.groups = []
        at_end(self.stop)

    def run(self):
        for line, words, lines in blocks(self.path):
            title = f"{os.path.basename(self.path)}:{line}"
            kind = words[0] if words else ""
            check_that(f"{title}: a known kind of block", kind in ("sh", "text", "console", "smtp"), kind)
            getattr(self, kind)(title, lines, words[1:])

    def sh(self, title, lines, words):
        """Shell commands. What is done once is not done again."""
        if words == ["once"]:
            for line in lines:
                command = re.sub(r"\s+#.*", "", line)
                check_that(f"{title}: {command} is what the tests do", command in ONCE)
            return
        with tempfile.TemporaryFile("w+") as output:
            # Not a pipe: what goes on in the background would keep it open.
            ran = subprocess.Popen(["bash", "-euo", "pipefail", "-c", "\n".join(lines)], cwd=self.place, env=self.environment,
                                   stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
            self.groups.append(ran.pid)
            status = ran.wait(60)
            output.seek(0)
            self.said = output.read()
        check_that(f"{title}: done", status == 0, f"{status}: {self.said}")
        if any("mailguard sink" in line for line in lines):
            wait_for("the server", self.serves)

    @staticmethod
    def serves():
        """Whether a server listens inside."""
        with contextlib.suppress(ConnectionRefusedError), Client("127.0.0.1", side="inside"):
            return True
        return False

    def stop(self):
        """Ends what still runs in the background."""
        for group in self.groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGTERM)
        self.groups.clear()

    def text(self, title, lines, _):
        check_that(f"{title}: so it was printed", is_like(self.said, lines), self.said)

    def console(self, title, lines, _):
        """A session: lines behind prompts are typed, the others are expected. A password is the end of its line."""
        typed, wanted = [], []
        for line in lines:
            prompt = PROMPT.match(line + " ")
            (typed if prompt else wanted).append(line[prompt.end():] if prompt else line)
        ran = subprocess.run(["netns/lab", "console"], input="\n".join(typed) + "\n", text=True, cwd=self.place, timeout=60,
                             env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        check(f"{title}: nothing was refused", (ran.returncode, re.findall(r"^line \d+: .*", ran.stdout, re.M)), (0, []))
        check_that(f"{title}: so it was said", is_like(ran.stdout, wanted), ran.stdout)

    def smtp(self, title, lines, words):
        """A dialogue: lines with a code are replies, the others are typed, by-octet each key in a packet of its own."""
        if lines[0].startswith("$ "):
            check(f"{title}: how it is reached", lines.pop(0), f"$ netns/lab exec outside telnet {INSIDE['IPv4']} 25")
        replies, typed = [[]], []
        for line in lines:
            if re.match(r"\d{3}[ -]", line) or line == "(nothing)":
                replies[-1].append(line)
            else:
                typed.append(line)
                replies.append([])
        with Client(INSIDE["IPv4"], by_octet="by-octet" in words) as client:
            for number, wanted in enumerate(replies):
                if number:
                    client.send(typed[number - 1].encode() + b"\r\n")
                if wanted == ["(nothing)"]:
                    client.socket.settimeout(1)
                    try:
                        check(f"{title}: nothing comes", client.reply(), wanted)
                    except TimeoutError:
                        check_that(f"{title}: nothing comes", True)
                elif wanted:
                    check(f"{title}: {typed[number - 1] if number else 'the greeting'}",
                          client.reply().decode().splitlines(), wanted)
