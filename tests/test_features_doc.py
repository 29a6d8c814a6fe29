"""Every section of docs/features has a program in two languages that shows what it says.

tests/docs runs those in Python, interop/examples all of them.
"""

import re
from pathlib import Path

import pytest

from amqpbroker.broker.jobs.jobs import CANCELLED
from amqpbroker.broker.redrive.options import REASONS
from amqpbroker.broker.tracking.copy_tracker import DELETED, PURGED, UNROUTABLE
from amqpbroker.broker.tracking.follower import LOST

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted((DOCS / "features").glob("*.md"))
INDEX = (DOCS / "features.md").read_text()

#: How a program in each language says what has to hold.
CLAIMS = {"python": r"^\s*assert ", "javascript": r"^\s*assert\.", "php": r"throw new Exception"}


def sections(page):
    return re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", page.read_text(), re.MULTILINE | re.DOTALL)


def anchor(section):
    return re.sub(r"[^a-z -]", "", section.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_features_page_section_has_two_programs_with_checks(page):
    for section, text in sections(page):
        programs = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        assert [language for language, _ in programs] in (["python", "javascript"], ["python", "php"]), section
        assert all(re.search(CLAIMS[language], program, re.MULTILINE) for language, program in programs), section


def reasons(text):
    known = {*REASONS, PURGED, DELETED, UNROUTABLE, LOST, CANCELLED}
    return known & set(re.findall(r"`(\w+)`", text))


def test_table_of_job_states_has_all_reasons_of_failures():
    (row,) = re.findall(r"^\| `failed` \|.*$", (DOCS / "features/jobs.md").read_text(), re.MULTILINE)
    assert reasons(row) == {*REASONS, PURGED, DELETED, UNROUTABLE, LOST, CANCELLED}


def test_page_about_batches_has_all_reasons():
    assert reasons((DOCS / "features/batches.md").read_text()) == {*REASONS, PURGED, DELETED, UNROUTABLE, LOST}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_section_is_linked(page):
    names = [section for section, _ in sections(page)]
    links = re.findall(r"^- \[(.+)\]\(#(.+)\)$", page.read_text(), re.MULTILINE)
    assert links == [(name, anchor(name)) for name in names]
    in_index = re.findall(rf"\(features/{page.name}#([^)]+)\)", INDEX)
    assert sorted(in_index) == sorted(anchor(name) for name in names)
