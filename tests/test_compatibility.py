"""The differences that docs/compatibility.md lists are shown by cases that exist."""

import re
from fnmatch import fnmatchcase
from pathlib import Path

from conformance import registry

PAGE = (Path(__file__).parent.parent / "docs" / "compatibility.md").read_text()
IDS = [case.id for case in registry.load()]

#: A difference's cases, the last cell of each row.
LISTED = [
    re.findall(r"`([^`]+)`", row.strip("|").split("|")[-1])
    for row in PAGE.split("\n## Differences on purpose\n")[1].split("\n## ")[0].splitlines()
    if row.startswith("| ")
][1:]


def test_every_difference_is_shown_by_a_case():
    assert len(LISTED) > 10
    assert all(LISTED)


def test_every_case_that_is_listed_exists():
    patterns = {pattern for cases in LISTED for pattern in cases}
    assert {pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in IDS)} == set()


def test_compatibility_page_lists_every_area_of_cases():
    areas = PAGE.split("\n## How compatibility is tested\n")[1].split("\n## ")[0]
    listed = {name for row in areas.splitlines() if row.startswith("| `") for name in re.findall(r"`([^`]+)`", row)}
    assert listed == {name.partition("/")[0] for name in IDS}
