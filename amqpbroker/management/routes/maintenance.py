"""Maintenance of brokers with one database, an extension: which broker leads a vhost, and which brokers may lead."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from amqpbroker.broker.cluster import Change, Cluster, Leading, RefusedError, UnknownBrokerError, UnknownVhostError
from amqpbroker.management import failure
from amqpbroker.management.bodies import SMALL_BYTES
from amqpbroker.management.call import NO_CONTENT, Answer, Call
from amqpbroker.management.identity import Access
from amqpbroker.management.resource import Resource

T = TypeVar("T")

#: Path of the leaders of all vhosts.
LEADERS: Final = "/leadership"


async def transfer(call: Call) -> dict[str, Any]:
    """Hand a vhost over to the broker that is named, or to the one that would take it if its leader ended."""
    body = _body(call, "vhost", "broker")
    if call.node.cluster is not None and not body["vhost"]:
        raise failure.bad_request("vhost is missing: name the vhost that another broker is to lead")
    return _shown(await _done(call, lambda cluster: cluster.transfer(body["vhost"], body["broker"])))


async def drain(call: Call) -> dict[str, Any]:
    """Drain the broker that is named, or that got the request."""
    name = _body(call, "broker")["broker"]
    done = await _done(call, lambda cluster: cluster.drain(name))
    return {**_shown(done), "vhosts": done.vhosts}


async def revive(call: Call) -> dict[str, Any]:
    """Revive the broker that is named, or that got the request."""
    name = _body(call, "broker")["broker"]
    return _shown(await _done(call, lambda cluster: cluster.revive(name)))


async def rebalance(call: Call) -> dict[str, Any]:
    """Ask leaders to hand vhosts over until all brokers lead as many as each other; return the moves."""
    moves = await _done(call, lambda cluster: cluster.rebalance())
    return {"moves": [{"vhost": move.vhost, "from": move.source, "to": move.target} for move in moves]}


async def rebalance_queues(call: Call) -> Answer:
    """Do the same for clients of RabbitMQ's API. A broker without a database has nothing to do, and succeeds."""
    if call.node.cluster is not None:
        await rebalance(call)
    return NO_CONTENT


def leaders(call: Call) -> list[dict[str, Any]]:
    """Return the vhosts that have a leader, as this broker has last read; none without a database."""
    return [] if call.node.cluster is None else leader_rows(call.node.cluster)


def leader_rows(cluster: Cluster) -> list[dict[str, Any]]:
    """Return the leaders as the API shows them, and as `leadings` reads them."""
    return [
        {"vhost": each.vhost, "log": each.log, "leader": each.name, "process": each.process, "epoch": each.epoch}
        for each in cluster.leaders()
    ]


def leadings(rows: list[dict[str, Any]]) -> list[Leading]:
    """Return the vhosts with their leaders of such rows. Raises LookupError, TypeError, ValueError if they are none."""
    return [
        Leading(str(row["vhost"]), str(row["log"]), str(row["leader"]), str(row["process"]), int(row["epoch"]))
        for row in rows
    ]


def _shown(done: Change) -> dict[str, Any]:
    return {"broker": done.name, "hands_over": done.hands_over}


async def _done(call: Call, request: Callable[[Cluster], Awaitable[T]]) -> T:
    """Return what the cluster answers to a request. Raises ApiError."""
    cluster = call.node.cluster
    if cluster is None:
        raise failure.conflict("this broker is the only one: start it and others with one database (store.url)")
    try:
        return await request(cluster)
    except (UnknownBrokerError, UnknownVhostError) as error:
        raise failure.ApiError(404, "not_found", str(error)) from None
    except RefusedError as error:
        raise failure.conflict(str(error)) from None
    except OSError as error:
        raise failure.ApiError(503, "service_unavailable", f"{error.strerror}; repeat the request later") from error


def _body(call: Call, *keys: str) -> dict[str, str]:
    """Return the names in the body, empty for those that it lacks. Raises ApiError 400."""
    body = call.body()
    for key, name in body.items():
        if key not in keys:
            known = f"the only key is {keys[0]}" if len(keys) == 1 else f"the keys are {' and '.join(keys)}"
            raise failure.bad_request(f"{key} is not known here; {known}")
        if not isinstance(name, str | None):
            raise failure.bad_request(f"{key} = {failure.shown(name)}: this must be the name of a {key}")
    return {key: body.get(key) or "" for key in keys}


RESOURCES = (
    Resource(LEADERS, Access.ADMIN, get=leaders),
    Resource("/leadership/transfer", Access.ADMIN, post=transfer, max_body_bytes=SMALL_BYTES),
    Resource("/leadership/rebalance", Access.ADMIN, post=rebalance, max_body_bytes=0),
    Resource("/rebalance/queues", Access.ADMIN, post=rebalance_queues, max_body_bytes=0),
    Resource("/maintenance/drain", Access.ADMIN, post=drain, max_body_bytes=SMALL_BYTES),
    Resource("/maintenance/revive", Access.ADMIN, post=revive, max_body_bytes=SMALL_BYTES),
)
