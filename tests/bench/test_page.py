"""The generated parts of docs/performance.md."""

import pytest

from tests.bench import growth, page

TEXT = "before\n<!-- a: begin -->\nold\n<!-- a: end -->\nbetween\n<!-- b: begin -->\n<!-- b: end -->\nafter\n"


def test_only_the_text_between_the_markers_changes():
    assert page.replaced(TEXT, "a", "new\n\n") == TEXT.replace("old", "new")
    assert page.replaced(TEXT, "b", "new") == TEXT.replace("<!-- b: end", "new\n<!-- b: end")


def test_writing_the_same_section_again_does_not_change_the_page():
    once = page.replaced(TEXT, "b", "| a |\n")
    assert page.replaced(once, "b", "| a |\n") == once


@pytest.mark.parametrize("text", ["", "<!-- a: begin -->\n", "<!-- a: end -->", TEXT.replace("a: begin", "c: begin")])
def test_page_without_the_markers_is_not_changed(tmp_path, text):
    path = tmp_path / "page.md"
    path.write_text(text)
    with pytest.raises(LookupError):
        page.write("a", "new", path)
    assert path.read_text() == text


def test_performance_page_has_markers_for_every_section():
    for name in (
        "results",
        "side by side",
        "operation",
        "high availability",
        "streams",
        *(f"growth: {name}" for name in growth.NAMES),
    ):
        page.replaced(page.PAGE.read_text(), name, "")


def test_a_table_has_a_line_for_each_row():
    assert page.table(("what", "n"), [("a", "1"), ("b", "2")]) == "| what | n |\n| --- | --: |\n| a | 1 |\n| b | 2 |\n"


@pytest.mark.parametrize(("busy", "marked"), [(0.2, False), (3.0, True)])
def test_results_measured_on_a_busy_machine_are_marked(monkeypatch, busy, marked):
    monkeypatch.setattr(page.os, "getloadavg", lambda: (busy, 0.0, 0.0))
    assert ("not a quiet machine" in page.load()) == marked
