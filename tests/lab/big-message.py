"""100 MB in one message, equal SHA-256 on both sides: by hand over both families, and between real
mail servers."""

import big
import jail
from lab import done

big.by_hand()
big.by_mail_servers([(jail.Postfix, jail.Exim)], "IPv4")
big.by_mail_servers([(jail.Exim, jail.Postfix)], "IPv6")
done()
