"""Requests of management UIs and monitoring tools, for this broker with few queues."""

import re
from contextlib import closing

import pytest

from amqpbroker.management.app import STATIC
from tests.bench.brokers import OURS, THEIRS, amqpbroker
from tests.bench.refreshes import COLUMNS, NOTHING, Api, page, refreshed, refreshes

QUEUES_JS = STATIC / "js" / "pages" / "queues.js"


def test_queue_columns_of_the_bench_equal_those_of_the_management_page():
    (wanted,) = re.findall(r"const WANTED = \[(.*?)\]", QUEUES_JS.read_text(), re.DOTALL)
    assert re.findall(r'"([^"]+)"', wanted) == COLUMNS.split(",")


def test_refresh_requests_of_each_management_ui_sort_and_filter():
    assert len(page(OURS)) == 4
    assert page(THEIRS) == ["queues?page=1&page_size=100&name=&use_regex=false&pagination=true", "vhosts"]
    for name in (OURS, THEIRS):
        kinds = refreshes(name)
        (by_messages,) = [path for path in kinds["page sorted by messages"] if path.startswith("queues?")]
        assert "sort=messages&" in by_messages
        assert "sort_reverse=true" in by_messages
        assert any("name=99&" in path for path in kinds["page filtered by name"])
        assert kinds["all queues"] == ["queues"]


def test_every_kind_of_refresh_is_measured_and_errors_are_raised():
    with amqpbroker() as broker:
        found = refreshed(broker, 0.1, queues=30)
        assert list(found) == [NOTHING, *refreshes(OURS)]
        assert found[NOTHING].cpu_ms == 0
        assert all(each.rate > 0 and 0 < each.p99_ms <= each.longest_ms for each in found.values())
        with (
            closing(Api(broker.management_port)) as api,
            pytest.raises(RuntimeError, match="no-such was answered with 404"),
        ):
            api.refresh(["no-such"])
