"""A thousand sessions, all open at the same time, and a second time: none fails, memory comes back."""

import sessions
from lab import done

sessions.crowds(2)
done()
