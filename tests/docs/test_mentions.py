"""Commands that are mentioned in the text of a page exist, and so do their options."""

import contextlib
import re

import pytest

from tests.docs.blocks import PAGES, PART, ROOT
from tests.docs.words import IncompleteError, check

MENTION = re.compile(r"`((?:amqpbroker|make|python -m (?:conformance|interop|tests|tools)[\w.]*)(?: [^`\d][^`]*)?)`")


def mentions(page):
    found = MENTION.findall(PART.sub("", page.read_text()))
    return sorted({re.sub(r"<\w+>", "X", words).replace("\n", " ") for words in found})


@pytest.mark.parametrize(
    "page", [page for page in PAGES if mentions(page)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_commands_mentioned_in_the_documentation_exist(page):
    for words in mentions(page):
        with contextlib.suppress(IncompleteError):
            check(words)


@pytest.mark.parametrize("words", ["amqpbroker sreve", "amqpbroker ctl list_ques", "amqpbroker --prot", "make tset"])
def test_unknown_command_mentioned_in_the_documentation_is_found(words, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"Type `{words}`, or\n`{words}`.")
    with pytest.raises(Exception):  # noqa: B017, PT011
        test_commands_mentioned_in_the_documentation_exist(page)
