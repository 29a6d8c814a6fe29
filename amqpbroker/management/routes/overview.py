"""The broker as a whole (rabbit_mgmt_wm_overview.erl and others)."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from amqpbroker.broker.counters.stats import Counted
from amqpbroker.broker.exchanges.registry import known_exchange_types
from amqpbroker.broker.vhost import Vhost
from amqpbroker.management import failure
from amqpbroker.management.call import NO_CONTENT, Answer, Call
from amqpbroker.management.formats.exchanges import exchange_types
from amqpbroker.management.formats.nodes import contexts, listeners, runtime
from amqpbroker.management.formats.rates import asked_ranges, sampled, with_details
from amqpbroker.management.identity import Access
from amqpbroker.management.resource import Resource
from amqpbroker.management.visible_connections import sessions
from amqpbroker.row_slices import RowSlices

#: Number of queues that are counted in the time of one row.
COUNTED_PER_ROW = 10

#: How long samples are kept, in seconds. RabbitMQ keeps some for a day.
RETENTION = {"global": [600], "basic": [600], "detailed": [600]}


async def overview(call: Call) -> dict[str, Any]:
    broker, config = call.broker, call.broker.config
    shown: dict[str, Any] = {
        "management_version": config.compat.version,
        "rates_mode": config.management.rates_mode,
        "sample_retention_policies": RETENTION,
        "exchange_types": exchange_types(known_exchange_types(config.compat)),
        "product_version": config.product_version,
        "product_name": config.product_name,
        "rabbitmq_version": config.compat.version,
        "cluster_name": broker.cluster_name,
        "cluster_tags": broker.global_parameters.value("cluster_tags", dict(config.cluster_tags)),
        "node_tags": dict(config.node_tags),
        **runtime(broker, call.node),
        "disable_stats": config.management.disable_stats,
        "default_queue_type": config.default_queue_type,
        "is_op_policy_updating_enabled": not config.management.operator_policy_changes_disabled,
        "enable_queue_totals": config.management.enable_queue_totals,
    }
    if call.stats:
        shown.update(await _counted(call))
    if call.identity.monitors:
        web = contexts(call.node, config.management.path_prefix)
        shown["node"] = call.node.distinct_name
        shown["listeners"] = listeners(call.node)
        shown["contexts"] = [{"ssl_opts": [], "node": call.node.distinct_name, **each} for each in web]
    return shown


async def _counted(call: Call) -> dict[str, Any]:
    """Return the statistics of all vhosts if the user monitors, else of the vhosts that the user may use."""
    broker, rates = call.broker, call.broker.rates
    everything = call.identity.monitors
    vhosts = list(broker.vhosts.values()) if everything else call.visible_vhosts()
    several: list[Counted] = [broker] if everything else [*vhosts]
    wanted = asked_ranges(call.query)
    details = sampled(rates, several, wanted)
    churn = broker.totals.churn
    churned = dict(zip(churn.counter_names, churn.counters(), strict=True))
    stats = broker.message_stats() if everything else _summed(vhost.message_stats() for vhost in vhosts)
    ready, delayed, unacked, consumers = await _queue_counts(vhosts, COUNTED_PER_ROW * call.rows)
    totals = {"messages": ready + delayed + unacked, "messages_ready": ready, "messages_unacknowledged": unacked}
    return {
        "message_stats": with_details(stats, details),
        "churn_rates": with_details(churned, sampled(rates, [churn], wanted)),
        "queue_totals": with_details(totals, details),
        "object_totals": _objects(call, vhosts, consumers),
        "statistics_db_event_queue": 0,
    }


def _summed(several: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for counts in several:
        total.update(counts)
    return dict(total)


async def _queue_counts(vhosts: list[Vhost], rows: int) -> tuple[int, int, int, int]:
    """Return the numbers of ready, delayed and unacknowledged messages, and of consumers."""
    ready = delayed = unacked = consumers = 0
    queues = [queue for vhost in vhosts for queue in vhost.queues.values()]
    async for some in RowSlices(rows).of(queues):
        for queue in some:
            ready += queue.ready_count
            delayed += queue.delayed_count
            unacked += queue.unacked_count
            consumers += queue.consumer_count
    return ready, delayed, unacked, consumers


def _objects(call: Call, vhosts: list[Vhost], consumers: int) -> dict[str, int]:
    if call.identity.monitors:
        connections = len(call.broker.sessions)
        channels = sum([len(vhost.traffic.members) for vhost in vhosts])
    else:
        own = sessions(call)
        connections, channels = len(own), sum([session.info().channels for session in own])
    counts = {
        "channels": channels,
        "connections": connections,
        "exchanges": sum([len(vhost.exchanges) for vhost in vhosts]),
        "queues": sum([len(vhost.queues) for vhost in vhosts]),
    }
    if call.identity.monitors:
        counts["consumers"] = consumers
    return counts


def version(call: Call) -> str:
    return call.broker.config.product_version


def extensions(call: Call) -> list[dict[str, str]]:
    return [{"javascript": "dispatcher.js"}]


def cluster_name(call: Call) -> dict[str, str]:
    return {"name": call.broker.cluster_name}


def name_cluster(call: Call) -> Answer:
    name = call.need("name")["name"]
    if not isinstance(name, str) or not name:
        raise failure.bad_request("name is to be a text")
    call.broker.global_parameters.put("cluster_name", name)
    return NO_CONTENT


# --- what there is nothing of -----------------------------------------------------------------------------------------


def done(call: Call) -> Answer:
    """There is nothing to do: queues have one replica, and counts are kept where they are counted."""
    if not call.node.is_named(call.path.get("node", call.node.name)):
        raise failure.not_found()
    return NO_CONTENT


RESOURCES = (
    Resource("/overview", Access.USER, get=overview),
    Resource("/version", Access.ANYBODY, get=version),
    Resource("/extensions", Access.USER, get=extensions),
    Resource("/cluster-name", Access.USER, get=cluster_name, put=name_cluster, change=Access.ADMIN),
    Resource("/reset", Access.ADMIN, delete=done),
    Resource("/reset/{node}", Access.ADMIN, delete=done),
)
