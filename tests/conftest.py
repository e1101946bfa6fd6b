"""What every test may count on."""

from __future__ import annotations

import signal

# A shell that starts a job in the background lets it ignore Ctrl-C, and programs inherit that. The
# programs that tests start are to be interrupted as on a terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)
