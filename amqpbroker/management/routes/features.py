"""Feature flags and deprecated features, as far as there is something to tell (rabbit_mgmt_wm_feature_flags.erl)."""

from typing import Any

from amqpbroker.broker.broker import Broker
from amqpbroker.management import failure
from amqpbroker.management.call import NO_CONTENT, Answer, Call
from amqpbroker.management.identity import Access
from amqpbroker.management.resource import Resource

#: RabbitMQ 4.0's flags that are true here, and how stable it calls them. They are all enabled, and stay so.
_FLAGS = {
    "classic_queue_type_delivery_support": "required",
    "detailed_queues_endpoint": "stable",
    "direct_exchange_routing_v2": "required",
    "drop_unroutable_metric": "required",
    "empty_basic_get_metric": "required",
    "feature_flags_v2": "required",
    "implicit_default_bindings": "required",
    "maintenance_mode_status": "required",
    "message_containers": "required",
    "message_containers_deaths_v2": "stable",
    "quorum_queue": "required",
    "rabbit_exchange_type_local_random": "stable",
    "rabbitmq_4.0.0": "stable",
    "user_limits": "required",
    "virtual_host_metadata": "required",
}

#: Deprecated features that can be used here, and are without being permitted or denied.
_PERMITTED = ("management_metrics_collection",)


def flags(call: Call) -> list[dict[str, str]]:
    return [
        {"name": name, "desc": "", "doc_url": "", "state": "enabled", "stability": stability, "provided_by": "rabbit"}
        for name, stability in _FLAGS.items()
    ]


def enable(call: Call) -> Answer:
    if call.path["name"] not in (*_FLAGS, "all"):
        raise failure.bad_request("unsupported")
    return NO_CONTENT


def deprecated(call: Call) -> list[dict[str, Any]]:
    return [_shown(name, phase) for name, phase in _phases(call.broker).items()]


def used(call: Call) -> list[dict[str, Any]]:
    """Return the deprecated features that the broker uses now."""
    phases = _phases(call.broker)
    transient = any(not queue.durable and queue.owner is None for queue in call.broker.queues())
    return [_shown(name, phases[name]) for name in ("transient_nonexcl_queues",) if transient]


def _phases(broker: Broker) -> dict[str, str]:
    compat = broker.config.compat
    modelled = {
        "global_qos": compat.global_qos,
        "queue_master_locator": compat.queue_master_locator,
        "transient_nonexcl_queues": compat.transient_nonexcl_queues,
    }
    phases = dict.fromkeys(_PERMITTED, "permitted_by_default")
    for name, permission in modelled.items():
        phases[name] = "permitted_by_default" if permission.name == "PERMITTED" else "denied_by_default"
    return phases


def _shown(name: str, phase: str) -> dict[str, Any]:
    return {"name": name, "desc": "", "deprecation_phase": phase, "doc_url": "", "provided_by": "rabbit"}


RESOURCES = (
    Resource("/feature-flags", Access.USER, get=flags),
    Resource("/feature-flags/{name}/enable", Access.ADMIN, put=enable, max_body_bytes=0),
    Resource("/deprecated-features", Access.USER, get=deprecated),
    Resource("/deprecated-features/used", Access.USER, get=used),
)
