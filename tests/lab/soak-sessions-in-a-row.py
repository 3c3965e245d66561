"""Fifty thousand sessions in a row: none fails, memory is where it was."""

import sessions
from lab import done

sessions.in_a_row(50_000)
done()
