"""The documentation says what the code does."""

import re
from pathlib import Path

import click
import pytest

from amqpbroker.cli.main import COMMANDS, main
from tools import connection_states_reference, ctl_reference, http_api_reference, metrics_reference, settings_reference

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def test_the_settings_page_is_up_to_date():
    assert settings_reference.PATH.read_text() == settings_reference.page(), "run `make docs`"


def test_the_ctl_page_is_up_to_date():
    assert ctl_reference.PATH.read_text() == ctl_reference.page(), "run `make docs`"


def test_the_metrics_page_is_up_to_date():
    assert metrics_reference.PATH.read_text() == metrics_reference.page(), "run `make docs`"


def test_the_http_api_page_is_up_to_date():
    assert http_api_reference.PATH.read_text() == http_api_reference.page(), "run `make docs`"


def test_the_connection_states_page_is_up_to_date():
    assert connection_states_reference.PATH.read_text() == connection_states_reference.page(), "run `make docs`"


def anchors(page):
    """Return the anchors that GitHub makes of the headings; the build of the site checks its own."""
    headings = re.findall(r"^#+ (.+)$", CODE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_have_existing_targets(page):
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", CODE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        there = page.parent / target if target else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), f"{target}#{anchor}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_is_documented(name):
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text()
    command = main.get_command(None, name)
    assert f"## `amqpbroker {name}`" in page
    section = page.split(f"## `amqpbroker {name}`")[1].split("\n## ")[0]
    for option in [parameter for parameter in command.params if isinstance(parameter, click.Option)]:
        for flag in option.opts:
            assert f"`{flag}" in section, flag
