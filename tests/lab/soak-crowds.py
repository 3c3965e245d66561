"""Twenty times a thousand sessions at once: none fails, memory does not creep."""

import sessions
from lab import done

sessions.crowds(20)
done()
