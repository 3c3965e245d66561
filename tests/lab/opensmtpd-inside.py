"""A real OpenSMTPD inside takes mail from every client, over both families."""

import jail
import mta
from lab import done

mta.all_clients_deliver_to(jail.OpenSmtpd("inside"))
done()
