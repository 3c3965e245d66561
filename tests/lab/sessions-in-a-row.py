"""Five thousand sessions in a row; soak-sessions-in-a-row has fifty thousand."""

import sessions
from lab import done

sessions.in_a_row(5000)
done()
