"""A real Postfix inside takes mail from every client, over both families."""

import re

import jail
import mta
from lab import check_that, done

server = jail.Postfix("inside")
mta.all_clients_deliver_to(server)
# "< client[address]: command": Postfix's own transcript of what reached it.
heard = re.findall(r"< \S+\[(?:192\.0\.2|2001:db8:1:)\S*\]: (\S+)", server.said())
check_that("Postfix wrote down what reached it", "HELO" in heard and "MAIL" in heard, str(set(heard)))
check_that("no EHLO among it", "EHLO" not in [word.upper() for word in heard])
done()
