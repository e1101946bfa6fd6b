"""Print which tests prove which rule of docs/rules.md; fail on a rule in scope without one."""

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

RULE = re.compile(r"^- \*\*R(\d\d)\*\*(?P<later> \*\(later\)\*)?", re.MULTILINE)
RUST_TEST = re.compile(r"^\s*(?:async )?fn (r(\d\d)_\w+)\s*\(", re.MULTILINE)
PYTHON_TEST = re.compile(r"^\s*(?:async )?def (test_r(\d\d)_\w+)\s*\(", re.MULTILINE)


def tracked_sources() -> list[Path]:
    """List the files that git knows or would add."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.rs", "*.py"],
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for path in map(Path, listing.stdout.split()) if path.exists()]


def tests_by_rule() -> dict[str, list[str]]:
    """Map a rule's number to the tests that carry it."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in tracked_sources():
        pattern = RUST_TEST if path.suffix == ".rs" else PYTHON_TEST
        for name, rule in pattern.findall(path.read_text()):
            found[rule].append(f"{path}: {name}")
    return found


def main() -> int:
    """Print the table and return the number of rules without a test."""
    tests = tests_by_rule()
    missing = []
    for match in RULE.finditer(Path("docs/rules.md").read_text()):
        rule, later = match[1], bool(match["later"])
        print(f"R{rule}  {len(tests[rule])} tests" + (" (later)" if later else ""))
        for test in sorted(tests[rule]):
            print(f"     {test}")
        if not tests[rule] and not later:
            missing.append(f"R{rule}")
    if missing:
        print(f"without a test: {', '.join(missing)}", file=sys.stderr)
    return len(missing)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
