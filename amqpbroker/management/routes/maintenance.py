"""Maintenance of brokers with one database, an extension: which of them lead, and which may."""

from collections.abc import Awaitable, Callable
from typing import Any

from amqpbroker.broker.cluster import Change, Cluster, RefusedError, UnknownBrokerError
from amqpbroker.management import failure
from amqpbroker.management.bodies import SMALL_BYTES
from amqpbroker.management.call import Call
from amqpbroker.management.identity import Access
from amqpbroker.management.resource import By, Resource


async def transfer(call: Call) -> dict[str, Any]:
    """Hand the leadership over to the broker that is named, or to any other."""
    return await _changed(call, lambda cluster, name: cluster.transfer(name))


async def drain(call: Call) -> dict[str, Any]:
    """Drain the broker that is named, or that got the request."""
    return await _changed(call, lambda cluster, name: cluster.drain(name, call.passed_on_by))


async def revive(call: Call) -> dict[str, Any]:
    """Revive the broker that is named, or that got the request."""
    return await _changed(call, lambda cluster, name: cluster.revive(name, call.passed_on_by))


async def _changed(call: Call, change: Callable[[Cluster, str], Awaitable[Change]]) -> dict[str, Any]:
    """Return the broker of a change, and the epoch before it. Raises ApiError."""
    cluster, database = call.node.cluster, call.node.database
    name = _named(call)
    if cluster is None or database is None:
        raise failure.conflict("this broker is the only one: start it and others with one database (store.url)")
    try:
        done = await change(cluster, name)
    except UnknownBrokerError as error:
        raise failure.ApiError(404, "not_found", str(error)) from None
    except RefusedError as error:
        raise failure.conflict(str(error)) from None
    except OSError as error:
        raise failure.ApiError(503, "service_unavailable", f"{error.strerror}; repeat the request later") from error
    return {"broker": done.name, "hands_over": done.hands_over, "epoch": database.epoch}


def _named(call: Call) -> str:
    """Return the broker of the body, empty for the default. Raises ApiError 400."""
    body = call.body()
    for key in body:
        if key != "broker":
            raise failure.bad_request(f"{key} is not known here; the only key is broker")
    name = body.get("broker")
    if name is None:
        return ""
    if not isinstance(name, str):
        raise failure.bad_request(f"broker = {failure.shown(name)}: this must be the name of a broker")
    return name


RESOURCES = (
    Resource("/leadership/transfer", Access.ADMIN, post=transfer, max_body_bytes=SMALL_BYTES, changed_by=By.HERE),
    Resource("/maintenance/drain", Access.ADMIN, post=drain, max_body_bytes=SMALL_BYTES, changed_by=By.HERE),
    Resource("/maintenance/revive", Access.ADMIN, post=revive, max_body_bytes=SMALL_BYTES, changed_by=By.HERE),
)
