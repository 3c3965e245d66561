"""Every command of both guides does what the guide says: shell commands, sessions at the console, SMTP dialogues."""

from guides import Guide
from lab import IS_BRIDGE, done, skip

if IS_BRIDGE:
    skip("the guides raise a guard between two legs")
for name in ("guide-for-newcomers.md", "guide-for-pix.md"):
    guide = Guide(name)
    guide.run()
    guide.stop()
done()
