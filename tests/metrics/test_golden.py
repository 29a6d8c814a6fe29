"""The metrics are those of RabbitMQ: golden.json was recorded from 4.0.5 by tools/metrics_golden.py."""

import json

import pytest

from amqpbroker.metrics.groups import GROUPS
from amqpbroker.wire.values import Field
from tests.metrics.scrape import Scraper
from tools.metrics_golden import PATH, described
from tools.metrics_reference import NOT_IN_PAIRS, left_out

GOLDEN = json.loads(PATH.read_text())

#: Metrics that the queries of RabbitMQ's dashboard "RabbitMQ-Overview" use.
OVERVIEW = (PATH.parent / "dashboard.txt").read_text().split()
#: Metrics of the dashboard that RabbitMQ 4.0.5 no longer has.
GONE = {"rabbitmq_process_max_tcp_sockets", "rabbitmq_process_open_tcp_sockets"}

#: Sums that RabbitMQ omits while a queue has no value.
SOMETIMES = {"rabbitmq_queue_consumer_capacity", "rabbitmq_queue_messages_persistent_bytes"}

#: RabbitMQ has no prefetch for channels that did not set one.
SOMETIMES_OF_EACH = {"rabbitmq_channel_prefetch"}

#: Counters that are not available for a single exchange.
NOT_OF_EACH = {
    f"rabbitmq_exchange_messages_{what}_total" for what in ("confirmed", "unroutable_returned", "unroutable_dropped")
}


#: Metrics that RabbitMQ does not have.
EXTENSIONS = {"rabbitmq_queue_deliveries_timed_out_total"}


@pytest.fixture
def busy():
    """Return a broker with at least one object of each kind."""
    scraper = Scraper()
    wire = scraper.wire()
    wire.declare("classic")
    wire.declare("quorum", durable=True, arguments={"x-queue-type": Field("S", b"quorum")})
    wire.publish("classic", b"body")
    wire.publish("classic", b"body", exchange="amq.fanout")
    wire.receive()
    return scraper


def groups_of():
    return {family.name: group.name for group in GROUPS for family in group.families}


@pytest.mark.parametrize("page", GOLDEN)
async def test_metric_names_types_help_and_labels_are_those_of_rabbitmq(busy, page):
    ours = described((await busy.get(page)).text)
    theirs = GOLDEN[page]
    assert {name.replace("rabbitmq_detailed_", "rabbitmq_", 1) for name in set(ours) - set(theirs)} <= EXTENSIONS
    for full, family in theirs.items():
        name = full.replace("rabbitmq_detailed_", "rabbitmq_", 1)
        if full not in ours:
            assert left_out(name), full
            continue
        ours_ = ours[full]
        assert (ours_["type"], ours_["help"]) == (family["type"], family["help"]), full
        missing = NOT_IN_PAIRS.get(groups_of().get(name.removeprefix("rabbitmq_"), ""), set())
        if page == "/metrics" and name not in SOMETIMES:
            assert ours_["labels"] == family["labels"], full
        elif page != "/metrics" and name not in NOT_OF_EACH | SOMETIMES_OF_EACH:
            assert ours_["labels"] == [sorted(set(labels) - missing) for labels in family["labels"]], full


async def test_metrics_listed_as_missing_are_missing(busy):
    for page in GOLDEN:
        for name in await busy.families(page):
            name = name.replace("rabbitmq_detailed_", "rabbitmq_", 1)
            kept = name.startswith(("rabbitmq_memory_", "rabbitmq_erlang_uptime_seconds"))
            assert kept or not left_out(name), name


async def test_metrics_of_the_dashboard_exist(busy):
    there = {name for name, *_ in await busy.samples()}
    assert set(OVERVIEW) <= there
    assert not GONE & set(GOLDEN["/metrics"])
    labels = GOLDEN["/metrics"]["rabbitmq_identity_info"]["labels"]
    assert labels == [["rabbitmq_cluster", "rabbitmq_cluster_permanent_id", "rabbitmq_node"]]
