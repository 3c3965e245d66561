"""Pipelined refusals while every wire loses 3 % of the packets, each way: repeated segments carry the
same edits, replies stay in order, and no forbidden word gets through."""

import badline
from lab import done

badline.run(3)
done()
