"""Charts that the site draws from the tables of docs/performance.md."""

import re

import pytest

from tests.docs.running import ROOT
from tools import site_charts
from tools.site_charts import charted, drawn

RATIOS = """
| shape | RabbitMQ | amqpbroker | ratio | target | met |
| --- | --: | --: | --: | --: | --: |
| transient: one publisher | 10/s | 80/s | 8.00 | 18 | **no** |
| own: without a target | 10/s | 20/s | 2.00 |  |  |
| delayed: not of RabbitMQ | cannot | 5/s |  |  |  |
"""
GROWTH = """
| queues | messages/s | CPU | memory |
| --- | --: | --: | --: |
| 1 | 1,877,287/s | 0.44 us | 32 MB |
| 10,000 | 783,429/s | 1.28 us | 99 MB |
"""
KINDS = r"""
| percent of keys | CPU, topic, `#` | CPU, `(a\|b)` |
| --- | --: | --: |
| 0 | 0.30 us | 0.20 us |
| 100 | 0.70 us | 0.10 us |
"""
BACKLOGS = """
| backlog | rate | CPU | memory | longest stall |
| --- | --: | --: | --: | --: |
| persistent, at rest with 0 |  |  | 44 MB | 0.6 ms |
| persistent, up to 5 | 10/s | 1.40 us | 52 MB | 4.4 ms |
| persistent, up to 10 | 10/s | 1.50 us | 59 MB | 5.4 ms |
| persistent, down from 10 | 10/s | 1.25 us | 144 MB | 13.3 ms |
| persistent, down from 5 | 10/s | 1.00 us | 101 MB | 5.2 ms |

Between them.

| backlog | rate | CPU | memory | longest stall |
| --- | --: | --: | --: | --: |
| transient, up to 5 | 10/s | 0.80 us | 92 MB | 4.0 ms |
| transient, up to 10 | 10/s | 0.68 us | 271 MB | 2.2 ms |
| transient, down from 10 | 10/s | 0.44 us | 97 MB | 0.8 ms |
| transient, down from 5 | 10/s | 0.40 us | 97 MB | 0.8 ms |
"""


def table(text):
    (found,) = site_charts.tables_of(text)
    return found


def test_a_chart_has_the_tables_since_the_comment_before_it():
    page = f"{RATIOS}\n<!-- growth: a: begin -->\nText.\n{BACKLOGS}\n<!-- chart: a -->\n{GROWTH}\n<!-- chart: b-c -->\n"
    found = charted(page)
    assert [(name, [each.head[0] for each in tables]) for name, tables in found.items()] == [
        ("a", ["backlog", "backlog"]),
        ("b-c", ["queues"]),
    ]


def test_chart_uses_the_text_colour_of_the_page_and_is_reproducible():
    first, second = (drawn([table(RATIOS)]) for _ in range(2))
    assert first == second
    assert "transient  8.0" in first
    assert "own  2.0" in first
    assert "delayed" not in first
    assert "currentColor" in first
    assert site_charts.INK not in first
    assert site_charts.DARK in first


def test_each_column_has_a_panel_with_its_unit():
    panels = site_charts.panels(table(GROWTH))
    assert [(panel.title, panel.lines) for panel in panels] == [
        ("messages/s", {"": [1_877_287, 783_429]}),
        ("CPU per message, us", {"": [0.44, 1.28]}),
        ("memory, MB", {"": [32, 99]}),
    ]
    assert ">10k<" in drawn([table(GROWTH)])


def test_kinds_share_a_panel_and_are_distinguishable():
    (panel,) = site_charts.panels(table(KINDS))
    assert panel.lines == {"topic, #": [0.3, 0.7], "(a|b)": [0.2, 0.1]}
    assert ">topic, #<" in drawn([table(KINDS)])


def test_backlogs_have_a_line_for_each_kind_from_the_smallest_depth_on():
    tables = site_charts.tables_of(BACKLOGS)
    steps, panels = site_charts.backlog(tables)
    assert steps == [5, 10]
    assert [panel.lines for panel in panels] == [
        {"persistent": [1.4, 1.5], "transient": [0.8, 0.68]},
        {"persistent": [1.0, 1.25], "transient": [0.4, 0.44]},
        {"persistent": [52, 59], "transient": [92, 271]},
        {"persistent": [4.4, 5.4], "transient": [4.0, 2.2]},
    ]
    assert ">transient<" in drawn(tables)


def test_a_cell_without_a_figure_is_refused():
    with pytest.raises(ValueError, match=r"'' in a table of performance\.md is no figure"):
        drawn([table(GROWTH.replace("32 MB", ""))])


@pytest.mark.parametrize(("value", "text"), [(0.5, "0.5"), (100, "100"), (20_000, "20k"), (1_500_000, "1.5M")])
def test_axis_labels_abbreviate_large_numbers(value, text):
    assert site_charts.short(value) == text


def test_each_growth_measurement_of_the_page_has_its_chart():
    page = (ROOT / "docs" / "performance.md").read_text()
    measured = re.findall(r"^<!-- growth: ([\w-]+): begin -->$", page, re.MULTILINE)
    assert measured
    assert set(measured) < set(charted(page))
