"""`python -m firezone`."""

from __future__ import annotations

import sys

from firezone.cli import main

if __name__ == "__main__":
    sys.exit(main())
