"""A real sendmail inside takes mail from every client, over both families."""

import re

import jail
import mta
from lab import check_that, done, read

server = jail.Sendmail("inside")
mta.all_clients_deliver_to(server)
# "pid <<< command": sendmail's own transcript; the probes from 127.0.0.1 send no command.
traffic = read(server.path("var/vmail.traffic"))
heard = [verb.upper() for verb in re.findall(r"^\d+ <<< (\w{4})\b", traffic, re.M)]
check_that("sendmail wrote down what reached it", "HELO" in heard and "MAIL" in heard, str(set(heard)))
# Within mail data a line may begin with EHLO: a_message puts one in each message.
check_that("no EHLO as a command", heard.count("EHLO") == heard.count("DATA"),
           f"{heard.count('EHLO')} against {heard.count('DATA')} messages with one line each")
done()
