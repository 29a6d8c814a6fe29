"""Intentional differences: docs/compatibility.md names the cases that show them."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "compatibility.md"

_CASES = re.compile(r"`([a-z_]+/[a-z0-9_*]+)`")


def patterns(page: str) -> list[str]:
    """Return `area/case` of every case that the page's table names in its last column; * stands for any characters."""
    found = []
    for line in page.splitlines():
        if line.startswith("|"):
            found += _CASES.findall(line.rstrip("| ").rpartition("|")[2])
    return found


@cache
def _listed() -> list[str]:
    return patterns(PAGE.read_text())


def is_on_purpose(case_id: str) -> bool:
    """Return whether the page documents that this case differs."""
    return any(fnmatchcase(case_id, pattern) for pattern in _listed())
