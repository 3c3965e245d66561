"""100 MB in one message while every wire loses 2 % of the packets, each way; equal SHA-256."""

import big
import jail
from lab import done, lab

lab("loss", 2)
big.by_hand()
big.by_mail_servers([(jail.Postfix, jail.Postfix)], "IPv6", 20_000_000)
done()
