"""Operators of the guard: scripts, and sessions at a terminal, at its socket or by telnet."""

import contextlib
import os
import pty
import select
import subprocess
import time

from lab import PREFIX, ROOT, at_end, check

LAB = os.path.join(ROOT, "netns", "lab")


def script(text, *options):
    """Lines at the console; what was printed, and the exit status."""
    ran = subprocess.run([LAB, "console", *options], input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         timeout=60)
    return ran.stdout, ran.returncode


def enabled(*lines):
    """What lines print that are typed by who is enabled; none may be refused."""
    said, status = script("\n".join(("enable", "", *lines)) + "\n")
    check(f"console: {'; '.join(lines)}", (status, said if status else ""), (0, ""))
    return said


class Terminal:
    """A program at a terminal of its own."""

    def __init__(self, *argv):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execvp(argv[0], argv)
        # Or a program that is started later would keep the line up when this one hangs up.
        os.set_inheritable(self.terminal, False)
        self.said = ""
        at_end(self.end)

    def more(self, seconds):
        """Reads what it says within so many seconds, if anything."""
        with contextlib.suppress(OSError):
            if select.select([self.terminal], [], [], max(0, seconds))[0]:
                text = os.read(self.terminal, 65536).decode(errors="replace")
                self.said += text
                return text
        return ""

    def expect(self, words, seconds=20):
        """Reads until it has said the words; what it said before them."""
        deadline = time.monotonic() + seconds
        while words not in self.said:
            if not self.more(deadline - time.monotonic()):
                raise RuntimeError(f"it did not say {words!r}: {self.said!r}")
        before, self.said = self.said.split(words, 1)
        return before

    def type(self, line):
        os.write(self.terminal, line.encode() + b"\r")

    def end(self):
        """Hangs up, as who closes the window."""
        if self.pid:
            os.close(self.terminal)
            os.waitpid(self.pid, 0)
            self.pid = 0


def telnet(port):
    """A real telnet client in the guard's namespace."""
    return Terminal("ip", "netns", "exec", f"{PREFIX}-guard", "telnet", "127.0.0.1", str(port))


def local():
    """`mailguard console` at a terminal."""
    return Terminal(LAB, "console")
