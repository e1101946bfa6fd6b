"""Hold the limits on file size: Rust 600 lines, Python 400."""

import subprocess
import sys
from pathlib import Path

LIMITS = {".rs": 600, ".py": 400, ".pyi": 400}

tracked = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
    capture_output=True,
    text=True,
    check=True,
).stdout.split()
too_long = []
for path in map(Path, tracked):
    limit = LIMITS.get(path.suffix)
    if limit is None or not path.exists():
        continue
    lines = len(path.read_text().splitlines())
    if lines > limit:
        too_long.append(f"{path}: {lines} lines, at most {limit}")
if too_long:
    sys.exit("\n".join(too_long))
