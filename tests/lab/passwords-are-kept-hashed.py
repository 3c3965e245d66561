"""enable password and passwd, typed at a running guard: write memory keeps hashes and not the words, and who starts the guard with
that file is let in by the words, at the socket and by telnet, and by no others. Of a hash of the device's own nobody knows the
word: it is kept, and opens nothing until the password is set anew."""

import os
import re
import signal

import consoles
from lab import INSIDE, VECTOR, Client, Server, check, check_that, done, guard_pid, lab, read, temp_dir, wait_for

for personality in ("pix6x", "asa94"):
    path = os.path.join(temp_dir(), personality)
    lab("guard", "start", "--config", path, "--telnet", "2323")
    words = ("An0ther-Secret", "Letm31n-please")
    said = consoles.enabled("configure terminal", f"personality {personality}", "hostname gate", f"enable password {words[0]}",
                            f"passwd {words[1]}", "write memory", "end", "show running-config", "show startup-config",
                            "show tech-support", "show history")
    check_that("it was written", f"{path}\n[OK]" in said, said)
    check(f"{personality}: nothing shown has a word in it", [word for word in words if word in said], [])
    text = read(path)
    check(f"{personality}: nor has the file", [word for word in words if word in text], [])
    hashes = re.findall(r"^(enable password|passwd) (\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+\$\S+\$\S+) encrypted$", text, re.M)
    check(f"{personality}: but hashes", [line for line, _ in hashes], ["enable password", "passwd"])
    check(f"{personality}: it is nobody else's to read", os.stat(path).st_mode & 0o007, 0)
    pid = guard_pid()
    lab("guard", "stop")
    lab("guard", "start", "--config", path, "--telnet", "2323")
    check_that("another guard", guard_pid() != pid)
    # Each word opens what it is for, and the hash itself opens nothing.
    for word, status in ((words[0], 0), (words[1], 1), ("", 1), (hashes[0][1], 1)):
        said, got = consoles.script(f"enable\n{word}\nconfigure terminal\n")
        check(f"{personality}: enable with {word[:8]!r}", got, status)
    telnet = consoles.telnet(2323)
    telnet.expect("Password: ")
    telnet.type(words[0])
    telnet.expect("Invalid password")
    telnet.expect("Password: ")
    telnet.type(words[1])
    telnet.expect("gate> ")
    telnet.type("enable")
    telnet.expect("Password: ")
    telnet.type(words[0])
    telnet.expect("gate# ")
    telnet.end()
    said, status = consoles.script(f"enable\n{words[0]}\nreload noconfirm\nenable\n{words[0]}\nwrite memory\n")
    check(f"{personality}: reloaded, it is the same", (status, read(path)), (0, text))
# A saved configuration of a PIX, with a hash that MD5 has made of a well-known word.
path = os.path.join(temp_dir(), "saved")
text = ": Saved\n:\nPIX Version 6.3(5)\nenable password {}\npasswd 2KFQnbNIdI.2KYOU encrypted\nhostname old\n" \
       "fixup protocol smtp 25\n: end\n"
with open(path, "w") as file:
    file.write(text.format("2KFQnbNIdI.2KYOU encrypted"))
lab("guard", "start", "--config", path)
check_that("it is said at the start", "set the enable password anew" in lab("guard", "log"))
with Server(), Client(INSIDE["IPv4"]) as client:
    check_that("what it says is in force", client.reply() != VECTOR)
for word in ("cisco", "2KFQnbNIdI.2KYOU", ""):
    said, status = consoles.script(f"enable\n{word}\nshow running-config\n")
    check(f"a hash of the device opens nothing: {word!r}", (status, "startup configuration" in said, "hostname" in said),
          (1, True, False))
with open(path, "w") as file:
    file.write(text.format("An0ther-Secret"))
os.kill(guard_pid(), signal.SIGHUP)
wait_for("the password that was set anew", lambda: consoles.script("enable\nAn0ther-Secret\n")[1] == 0)
said, status = consoles.script("enable\nAn0ther-Secret\nwrite memory\n")
check("it is kept hashed, the other as it was", (status, re.findall(r"^(?:passwd|enable password) (\S{8})", read(path), re.M)),
      (0, ["$argon2i", "2KFQnbNI"]))
done()
