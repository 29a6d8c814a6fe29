"""Parameters of /metrics/detailed."""

import pytest

from amqpbroker.metrics.groups import GROUPS
from tests.metrics.scrape import Scraper

INFO = ["rabbitmq_build_info", "rabbitmq_identity_info"]


@pytest.fixture
def scraper():
    """Return a broker with a queue with a message in each of three vhosts."""
    scraper = Scraper()
    scraper.broker.totals.count_redrive()
    for vhost in ("/", "one", "two"):
        scraper.broker.add_vhost(vhost)
        scraper.broker.users.set_permissions("guest", vhost, ".*", ".*", ".*")
        wire = scraper.wire(vhost)
        wire.declare("q")
        wire.publish("q", b"x")
        wire.receive()
    return scraper


def detailed(*families, vhosts=()):
    query = [f"family={family}" for family in families] + [f"vhost={vhost}" for vhost in vhosts]
    return "/metrics/detailed?" + "&".join(query)


async def test_without_groups_only_build_and_identity_are_returned(scraper):
    assert await scraper.families("/metrics/detailed") == INFO


async def test_unknown_group_is_ignored(scraper):
    assert await scraper.families(detailed("nope")) == INFO


@pytest.mark.parametrize("name", [group.name for group in GROUPS if group.name])
async def test_each_detailed_metrics_group_has_its_prefix(scraper, name):
    (group,) = [group for group in GROUPS if group.name == name]
    prefix = "rabbitmq_cluster_" if group.cluster else "rabbitmq_detailed_"
    assert await scraper.families(detailed(name)) == [prefix + each.name for each in group.families] + INFO


async def test_several_metrics_groups_can_be_requested(scraper):
    families = await scraper.families(detailed("queue_coarse_metrics", "connection_churn_metrics"))
    assert families[0] == "rabbitmq_detailed_connections_opened_total"
    assert "rabbitmq_detailed_queue_messages" in families


@pytest.mark.parametrize("names", [("queue_metrics", "queue_consumer_count"), ("queue_metrics", "queue_metrics")])
async def test_families_are_unique(scraper, names):
    families = await scraper.families(detailed(*names))
    assert families.count("rabbitmq_detailed_queue_consumers") == 1


@pytest.mark.parametrize(
    ("vhosts", "found"), [((), "/ one two"), (("one",), "one"), (("%2F", "two"), "/ two"), (("nope",), "")]
)
async def test_detailed_metrics_can_be_limited_to_vhosts(scraper, vhosts, found):
    for group in ("queue_coarse_metrics", "channel_exchange_metrics", "exchange_metrics"):
        samples = await scraper.samples(detailed(group, vhosts=vhosts))
        name = {
            "queue_coarse_metrics": "rabbitmq_detailed_queue_messages",
            "channel_exchange_metrics": "rabbitmq_detailed_channel_messages_published_total",
            "exchange_metrics": "rabbitmq_detailed_exchange_messages_published_total",
        }[group]
        assert sorted(vhost for each, *labels in samples if each == name for vhost in labels[-1:]) == found.split()


@pytest.mark.parametrize("group", ["vhost_status", "exchange_names", "exchange_bindings"])
async def test_cluster_groups_have_all_vhosts(scraper, group):
    assert await scraper.samples(detailed(group)) == await scraper.samples(detailed(group, vhosts=["one"]))


async def test_exchange_metrics_show_bindings_and_types(scraper):
    scraper.wire().call(1, "queue.bind", queue="q", exchange="amq.topic", routing_key="#")
    samples = await scraper.samples(detailed("exchange_bindings", "exchange_names"))
    assert samples["rabbitmq_cluster_exchange_bindings", "amq.topic", "topic", "/"] == 1
    assert samples["rabbitmq_cluster_exchange_bindings", "amq.topic", "topic", "one"] == 0
    names = {labels[0] for name, *labels in samples if name == "rabbitmq_cluster_exchange_name"}
    assert names == {"amq.direct", "amq.fanout", "amq.headers", "amq.match", "amq.topic"}
