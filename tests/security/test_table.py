"""The table of the audit lists every test of this folder, and no others."""

import re
from pathlib import Path

TESTS = Path(__file__).parent.parent
PAGE = TESTS.parent / "docs" / "security.md"


def names_of_tests(paths):
    return {
        name for path in paths for name in re.findall(r"^ *(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }


def named():
    rows = re.findall(r"^\|.*\|$", PAGE.read_text(), re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(test_\w+)`", row)}


def test_every_security_test_is_in_the_table():
    audit = [path for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__)]
    assert names_of_tests(audit) - named() == set()


def test_every_test_named_in_the_security_table_exists():
    assert named() - names_of_tests(TESTS.rglob("test_*.py")) == set()
