"""The prose of the project: docstrings begin with a verb or a noun, and sentences have a subject with a noun."""

import pytest

from tests import prose

#: Texts of RabbitMQ, which stay as they are.
OF_RABBITMQ = {"Whether a given vhost is running"}


def test_no_sentence_of_code_or_docs_breaks_a_prose_rule():
    paths = [prose.ROOT / each for each in (*prose.FOLDERS, *prose.PAGES)]
    found = [each for each in prose.findings(paths) if each.text not in OF_RABBITMQ]
    assert [str(each) for each in found] == []


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ('"""What a channel holds."""', "docstring's first word"),
        ('def f():\n    """Whether it is open."""', "docstring's first word"),
        ('"""A channel. Who opens it closes it."""', "headless docstring"),
        ("# Whoever opens it closes it.", "headless comment"),
        ('raise ValueError("what is given is no number")', "headless message"),
        ('log.error("who connects is unknown")', "headless message"),
    ],
)
def test_bad_sentences_in_code_are_found(source, rule):
    assert [each.rule for each in prose.in_python("file.py", source)] == [rule]


@pytest.mark.parametrize(
    "source",
    [
        '"""Return what a channel holds. Is it open? Yes."""',
        "# A client that opens it closes it.",
        'raise ValueError("no")',
    ],
)
def test_good_sentences_in_code_pass(source):
    assert list(prose.in_python("file.py", source)) == []


def test_a_page_is_checked_without_its_code():
    page = "# Title\n\nA sentence. What is it?\n\n```\nWhat runs here.\n```\n\n- Who comes is served.\n"
    assert [(each.line, each.text) for each in prose.in_page("page.md", page)] == [(9, "Who comes is served.")]
