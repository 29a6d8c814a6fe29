"""Super streams: an exchange and its partitions, created and deleted together."""

from typing import Any, Final

from amqpbroker.broker.super_streams import (
    MAX_PARTITIONS,
    Partition,
    create_super_stream,
    delete_super_stream,
    numbered,
    partitions,
    super_streams,
)
from amqpbroker.management import failure
from amqpbroker.management.bodies import SMALL_BYTES
from amqpbroker.management.call import CREATED, NO_CONTENT, Answer, Call
from amqpbroker.management.formats.tables import typed
from amqpbroker.management.identity import Access
from amqpbroker.management.resource import Resource
from amqpbroker.management.values import check_name

_KEYS: Final = ("partitions", "binding_keys", "arguments")
#: Number of partitions if the body has none.
_PARTITIONS: Final = 3


def of_vhost(call: Call) -> list[dict[str, Any]]:
    vhost = call.vhost
    return [_row(vhost.name, name, partitions(vhost, name) or []) for name in super_streams(vhost)]


def one(call: Call) -> dict[str, Any]:
    name = call.path["name"]
    found = partitions(call.vhost, name)
    if found is None:
        raise failure.not_found()
    return _row(call.vhost.name, name, found)


def _row(vhost: str, name: str, found: list[Partition]) -> dict[str, Any]:
    return {
        "name": name,
        "vhost": vhost,
        "partitions": [{"stream": each.stream, "binding_key": each.binding_key} for each in found],
    }


def may_put(call: Call) -> None:
    call.permissions.check("configure", "exchange", call.path["name"])


def put(call: Call) -> Answer:
    """Create a super stream. Body: see `_KEYS`; arguments are those of the streams."""
    body, name = call.body(), call.path["name"]
    check_name("super stream", name)
    for key in body:
        if key not in _KEYS:
            raise failure.bad_request(f"{key} is not known here; the keys are {', '.join(_KEYS)}")
    create_super_stream(call.actions, name, _binding_keys(body), typed(body.get("arguments")))
    return CREATED


def _binding_keys(body: dict[str, Any]) -> list[str]:
    """Raises ApiError 400."""
    count, keys = body.get("partitions"), body.get("binding_keys")
    if keys is None:
        count = _PARTITIONS if count is None else count
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_PARTITIONS:
            shown = failure.shown(count)
            raise failure.bad_request(f"partitions = {shown}: this must be a whole number from 1 to {MAX_PARTITIONS}")
        return numbered(count)
    if count is not None:
        raise failure.bad_request("partitions and binding_keys exclude each other: leave out one of them")
    if not isinstance(keys, list) or not all(isinstance(key, str) and key for key in keys):
        raise failure.bad_request(f"binding_keys = {failure.shown(keys)}: this must be a list of texts")
    return keys


def delete(call: Call) -> Answer:
    if not delete_super_stream(call.actions, call.path["name"]):
        raise failure.not_found()
    return NO_CONTENT


RESOURCES = (
    Resource("/super-streams/{vhost}", Access.VHOST, get=of_vhost),
    Resource(
        "/super-streams/{vhost}/{name}",
        Access.VHOST,
        get=one,
        put=put,
        delete=delete,
        may_send=may_put,
        max_body_bytes=SMALL_BYTES,
    ),
)
