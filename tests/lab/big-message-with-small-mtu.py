"""100 MB in one message with MTU 1280 on one side, then on the other; equal SHA-256."""

import big
from lab import done, lab

for side in ("inside", "outside"):
    lab("mtu", side, 1280)
    big.by_hand(title=f", MTU 1280 {side}")
    lab("mtu", side, 1500)
done()
