import math

import prometheus_client
import pytest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from amqpbroker.metrics.exposition import OPENMETRICS, TEXT, chosen, head, label_text, line
from amqpbroker.metrics.family import COUNTER, GAUGE, UNTYPED, Family
from tests.metrics.scrape import Scraper

LABELS = {"a": "", "b": 'quote " backslash \\ line\nend', "c": "\N{SNOWMAN} {x=1,}"}

ACCEPTED = [
    ("", TEXT),
    ("*/*", TEXT),
    ("text/plain", TEXT),
    ("text/*;q=0.1", TEXT),
    ("text/plain; version=0.0.4; charset=utf-8", TEXT),
    ("application/openmetrics-text", OPENMETRICS),
    ("application/openmetrics-text; version=1.0.0; charset=utf-8", OPENMETRICS),
    ("application/openmetrics-text;q=0.2, text/plain;q=0.3", TEXT),
    (
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.4",
        OPENMETRICS,
    ),
    ("application/openmetrics-text;version=0.0.1,*/*;q=0.1", TEXT),
    ("application/json", None),
    ("text/plain;q=0", None),
    ("text/plain;q=x", None),
    (";;,=", None),
]


class Given:
    def __init__(self, metric):
        self.metric = metric

    def collect(self):
        yield self.metric


@pytest.mark.parametrize(("accept", "style"), ACCEPTED)
def test_exposition_format_is_the_one_preferred_by_the_client(accept, style):
    assert chosen(accept) is style


@pytest.mark.parametrize("style", [TEXT, OPENMETRICS])
@pytest.mark.parametrize(("name", "kind"), [("some_total", COUNTER), ("some", GAUGE), ("some", UNTYPED)])
@pytest.mark.parametrize("value", [0.5, 1e300, math.inf, math.nan])
@pytest.mark.parametrize("labels", [{}, LABELS])
def test_exposition_text_equals_that_of_prometheus_client(style, name, kind, value, labels):
    family = Family(name, kind, "What it is \\ \n said to be", None)
    metric = prometheus_client.Metric("pre_some", family.help, kind)
    metric.add_sample(f"pre_{name}", labels, value)
    generate = prometheus_client.generate_latest if style is TEXT else openmetrics.generate_latest
    ours = head(family, "pre_", style) + line(f"pre_{name}", label_text(tuple(labels.items())), value) + style.end
    assert ours == generate(Given(metric)).decode()


def test_integers_are_written_as_integers():
    assert line("n", "", 2**60) == f"n {2**60}\n"


def test_missing_value_has_no_sample():
    assert line("n", "", None) == ""


@pytest.mark.parametrize("page", ["", "/per-object", "/memory-breakdown", "/detailed?family=queue_metrics"])
async def test_both_formats_have_the_same_samples(page):
    scraper = Scraper()
    wire = scraper.wire()
    wire.declare('a "queue" \\ {of} \N{SNOWMAN}')
    wire.publish('a "queue" \\ {of} \N{SNOWMAN}', b"x")
    text = (await scraper.get(f"/metrics{page}", accept="text/plain")).text
    other = (await scraper.get(f"/metrics{page}", accept="application/openmetrics-text")).text

    def samples(families):
        return [
            (family.type, sample.name, sample.labels, repr(sample.value))
            for family in families
            for sample in family.samples
            if "memory" not in sample.name and "stream_segments" not in sample.name  # parsers do not agree about it
        ]

    assert samples(parse_text(text)) == samples(parse_openmetrics(other))


def test_counter_whose_name_does_not_end_in_total_is_valid_in_both_formats():
    family = Family("some", COUNTER, "Number of things", None)
    sample = line("pre_some", "", 3)
    text = head(family, "pre_", TEXT) + sample
    assert text == "# HELP pre_some Number of things\n# TYPE pre_some counter\npre_some 3\n"
    assert [each.type for each in parse_text(text)] == ["counter"]
    (parsed,) = parse_openmetrics(head(family, "pre_", OPENMETRICS) + sample + OPENMETRICS.end)
    assert (parsed.name, parsed.type) == ("pre_some", "unknown")
    assert [(each.name, each.value) for each in parsed.samples] == [("pre_some", 3)]
