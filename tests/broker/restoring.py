"""Comparison of restored and stored objects of a broker, and creation of durable objects."""

from typing import Any

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.exchanges.exchange import Exchange
from amqpbroker.broker.vhost import Vhost
from amqpbroker.wire.values import Table


def exchange(
    vhost: Vhost, name: str, durable: bool = True, auto_delete: bool = False, arguments: Table | None = None
) -> Exchange:
    return vhost.declare_exchange(name, "direct", durable, auto_delete, False, arguments or {})


def queue(vhost: Vhost, name: str, durable: bool = True, arguments: Table | None = None) -> Any:
    return vhost.declare_queue(name, durable, False, False, arguments or {})


def topology(broker: Broker, durable_only: bool = False) -> set[tuple[Any, ...]]:
    """Return all exchanges, queues and bindings, including their arguments."""
    found: set[tuple[Any, ...]] = set()
    for vhost in broker.vhosts.values():
        for x in vhost.exchanges.values():
            if durable_only and not x.durable:
                continue
            found.add((vhost.name, "x", x.name, x.type.name, x.durable, x.auto_delete, x.internal, repr(x.arguments)))
            for b in x.bindings.values():
                if durable_only and not b.destination.durable:
                    continue
                to = type(b.destination).__name__, b.destination.name
                found.add((vhost.name, "b", x.name, *to, b.routing_key, repr(b.arguments)))
        for q in vhost.queues.values():
            if q.durable or not durable_only:
                found.add((vhost.name, "q", q.name, q.id, q.durable, q.auto_delete, repr(q.arguments)))
    return found


def accounts(broker: Broker) -> tuple[Any, ...]:
    users = broker.users
    return (
        [(user.name, user.password_hash, user.tags) for user in users.list_users()],
        users.list_permissions(),
        users.list_topic_permissions(),
    )


def everything(broker: Broker) -> tuple[Any, ...]:
    vhosts = [(vhost.definition, vhost.route_epoch) for vhost in broker.vhosts.values()]
    policies = [*broker.policies.list(), *broker.policies.list(operator=True)]
    limits = broker.limits.vhosts(), [broker.limits.user(user.name) for user in broker.users.list_users()]
    applied = [
        (thing.name, thing.effective, getattr(thing, "settings", None))
        for vhost in broker.vhosts.values()
        for thing in (*vhost.queues.values(), *vhost.exchanges.values())
    ]
    return (
        topology(broker),
        accounts(broker),
        vhosts,
        policies,
        limits,
        applied,
        broker.global_parameters.list(),
        broker.parameters.list(),
    )
