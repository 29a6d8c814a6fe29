"""HTTP resources for queries about the broker's state, for tests in any language."""

import datetime
import decimal
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from amqpbroker.broker.policies.ages import age_ms
from amqpbroker.broker.queues.streams.offset import FIRST, LAST, NEXT
from amqpbroker.management import failure
from amqpbroker.management.call import Call
from amqpbroker.management.failure import ApiError
from amqpbroker.management.formats.messages import shown_payload
from amqpbroker.management.formats.tables import shown_bytes, shown_name
from amqpbroker.testing.hints import choices, did_you_mean, nearest
from amqpbroker.testing.instance import Instance
from amqpbroker.testing.message import Message
from amqpbroker.testing.replay import Offset, offsets, replay
from amqpbroker.testing.routes.route import Route, missing

#: Default and longest timeout in seconds.
TIMEOUT_S = 5.0
MAX_TIMEOUT_S = 300.0

#: The most digits of a count in a URL; Python refuses to parse thousands of digits.
MAX_DIGITS = 18

_WAITED_FOR = ("ready", "unacked", "consumers")

#: Parameters that all lists of the management API have.
_OF_LISTS = ("columns", "sort", "sort_reverse", "page", "page_size", "name", "use_regex", "pagination")


async def wait_until(instance: Instance, call: Call) -> dict[str, Any]:
    """Waits until a queue exists and has the given numbers: `{"queue": "q", "ready": 0, "unacked": 0, "consumers": 1,
    "vhost": "/", "timeout": 5}`. Only `queue` is required; `timeout` is in seconds. Answers with `vhost`, `name`,
    `ready`, `unacked` and `consumers`, or with 409 and the actual state as `reason`."""
    body = call.need("queue")
    accepted = ("queue", "vhost", "timeout", *_WAITED_FOR)
    for name in body:
        if name not in accepted:
            raise failure.bad_request(f"wait-until has no argument {shown_name(name)!r}{choices(name, accepted)}")
    for name in ("queue", "vhost"):
        if not isinstance(body.get(name, ""), str):
            raise failure.bad_request(f'{name} = {failure.shown(body[name])}: this must be text, such as "orders"')
    wanted = {name: _count(name, body[name]) for name in _WAITED_FOR if name in body}
    timeout_s = _timeout(body.get("timeout", TIMEOUT_S))
    await instance.time_travel.quiesce()
    try:
        state = await instance.inspector.wait_until(
            body["queue"], vhost=body.get("vhost"), timeout_s=timeout_s, **wanted
        )
    except AssertionError as error:
        raise _not_so(error) from None
    except ValueError as error:
        raise failure.bad_request(shown_name(str(error))) from None
    return {name: _plain(value) for name, value in asdict(state).items()}


async def published(instance: Instance, call: Call) -> list[dict[str, Any]]:
    """The messages that clients published, oldest first, the last 10,000. Parameters: `vhost`, `exchange`,
    `routing_key`; `count` waits until there are so many, up to `timeout` seconds, and answers 409 if there are fewer or
    more."""
    query = call.query
    _check_query(query, "exchange", "routing_key", "vhost", "count", "timeout")
    where = {name: query.get(name) for name in ("exchange", "routing_key", "vhost")}
    await instance.time_travel.quiesce()
    count = _count("count", query["count"]) if "count" in query else None
    timeout_s = _timeout(query.get("timeout", TIMEOUT_S))
    try:
        found = await instance.inspector.find_published(
            where["exchange"], where["routing_key"], where["vhost"], count=count, timeout_s=timeout_s
        )
    except AssertionError as error:
        raise _not_so(error) from None
    return _shown(found)


async def messages(instance: Instance, call: Call) -> list[dict[str, Any]]:
    """The messages that are ready in a queue, in the order of their delivery; they stay unchanged."""
    await instance.time_travel.quiesce()
    return _shown(instance.inspector.messages(_queue(call), call.vhost.name))


async def delayed(instance: Instance, call: Call) -> list[dict[str, Any]]:
    """The delayed messages of a queue, by their due times; they stay unchanged. `due` is in milliseconds since 1970."""
    await instance.time_travel.quiesce()
    return _shown(instance.inspector.delayed(_queue(call), call.vhost.name))


def _queue(call: Call) -> str:
    """Return the name of the queue of a request. Raises ApiError 404."""
    name, vhost = call.path["name"], call.vhost
    if name not in vhost.queues:
        hint = did_you_mean(name, vhost.queues, quoted=True)
        raise missing(f"there is no queue {name!r} in vhost {vhost.name!r}{hint}")
    return name


async def locked(instance: Instance, call: Call) -> list[dict[str, Any]]:
    """The messages of a queue that are delivered and not settled: `message`, `consumer`, `connection`, `channel`,
    `delivery_tag`, `action` and `ms_left`, the time until the lock runs out."""
    await instance.time_travel.quiesce()
    return [
        {
            "message": _message(each.message),
            "consumer": None if each.consumer is None else shown_name(each.consumer),
            "connection": each.connection,
            "channel": each.channel,
            "delivery_tag": each.delivery_tag,
            "action": each.action,
            "ms_left": each.ms_left,
        }
        for each in instance.inspector.locked(_queue(call), call.vhost.name)
    ]


async def groups(instance: Instance, call: Call) -> list[dict[str, Any]]:
    """The message groups of a queue that have messages or are stopped: `key`, `key_type`, `state`, and `messages`,
    those that are ready, in order."""
    await instance.time_travel.quiesce()
    found = instance.inspector.groups(_queue(call), call.vhost.name)
    return [
        {
            "key": shown_name(each.key),
            "key_type": each.key_type,
            "state": each.state,
            "messages": _shown(each.messages),
        }
        for each in found
    ]


async def batch(instance: Instance, call: Call) -> dict[str, Any]:
    """A batch of messages: `vhost`, `id`, `state`, `size`, the numbers of members `ok`, `failed` and `open`, and
    `failures` with `message_id`, `queue` and `reason`."""
    await instance.time_travel.quiesce()
    try:
        state = instance.inspector.batch(call.path["id"], call.vhost.name)
    except AssertionError as error:
        raise missing(str(error)) from None
    return {
        "vhost": shown_name(state.vhost),
        "id": shown_name(state.id),
        "state": state.state,
        "size": state.size,
        "ok": state.ok,
        "failed": state.failed,
        "open": state.open,
        "failures": [
            {"message_id": shown_name(message_id), "queue": shown_name(queue), "reason": reason}
            for message_id, queue, reason in state.failures
        ],
    }


async def stream(instance: Instance, call: Call) -> dict[str, Any]:
    """A stream: `first_offset`, `next_offset`, and `messages`, those from an offset on, each with its `offset`; they
    stay unchanged. Parameters: `offset` is `first`, `last`, `next`, a number, an age such as `1h`, or `timestamp:` with
    milliseconds since 1970; `count` waits until there are so many, up to `timeout` seconds, and answers 409 if there
    are fewer or more."""
    query = call.query
    _check_query(query, "offset", "count", "timeout")
    name, vhost = call.path["name"], call.vhost.name
    count = _count("count", query["count"]) if "count" in query else None
    if count is None:
        _queue(call)
    timeout_s = _timeout(query.get("timeout", TIMEOUT_S))
    offset = _offset(query.get("offset", "first"))
    await instance.time_travel.quiesce()
    try:
        found = await replay(instance.broker, instance.inspector, name, vhost, offset, count, timeout_s)
        first, following = offsets(instance.inspector, name, vhost)
    except AssertionError as error:
        raise _not_so(error) from None
    except ValueError as error:
        raise failure.bad_request(shown_name(str(error))) from None
    return {"first_offset": first, "next_offset": following, "messages": _shown(found)}


def _offset(text: str) -> Offset:
    """Return the place in a stream that a parameter names. Raises ApiError 400."""
    if text in (FIRST, LAST, NEXT) or age_ms(text) >= 0:
        return text
    number = text.removeprefix("timestamp:")
    if not number.removeprefix("-").isdecimal() or len(number) > MAX_DIGITS:
        raise failure.bad_request(
            f"offset = {shown_name(text)!r}: this must be 'first', 'last', 'next', a whole number of at most"
            f" {MAX_DIGITS} digits, an age such as '1h', or a time in milliseconds since 1970, such as"
            " 'timestamp:1800000000000'"
        )
    if number == text:
        return int(number)
    try:
        return datetime.datetime.fromtimestamp(int(number) / 1000, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        raise failure.bad_request(f"offset = {shown_name(text)!r}: this is no time before the year 10000") from None


async def unroutable(instance: Instance, call: Call) -> list[dict[str, Any]]:
    """The messages that clients published and that were routed to no queue, oldest first, the last 1,000. Parameter:
    `vhost`."""
    _check_query(call.query, "vhost")
    await instance.time_travel.quiesce()
    return _shown(instance.inspector.unroutable(call.query.get("vhost")))


async def channel_errors(instance: Instance, call: Call) -> list[dict[str, Any]]:
    """The errors that closed clients' channels and connections, oldest first, the last 1,000: `vhost`, `code`, `text`,
    `scope` (`channel` or `connection`), `connection`, `channel`, `user`. Parameter: `vhost`."""
    _check_query(call.query, "vhost")
    await instance.time_travel.quiesce()
    refusals = instance.inspector.refusals(call.query.get("vhost"))
    return [{name: _plain(value) for name, value in asdict(refusal).items()} for refusal in refusals]


def _check_query(query: Mapping[str, str], *accepted: str) -> None:
    """Raises ApiError 400 for a misspelt parameter. Other unknown ones are ignored, as in RabbitMQ's API."""
    for name in query:
        if name not in accepted and name not in _OF_LISTS and nearest(name, accepted) is not None:
            raise failure.bad_request(f"there is no parameter {shown_name(name)!r}{choices(name, accepted)}")


def _not_so(error: AssertionError) -> ApiError:
    return ApiError(409, "not_so", shown_name(str(error)))


def _count(name: str, value: Any) -> int:
    if isinstance(value, str) and value.isdecimal() and len(value) <= MAX_DIGITS:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise failure.bad_request(f"{name} = {failure.shown(value)}: this must be a whole number from 0 on")
    return value


def _timeout(value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds <= MAX_TIMEOUT_S:
        raise failure.bad_request(
            f"timeout = {failure.shown(value)}: this must be a number of seconds from 0 to {MAX_TIMEOUT_S:g}"
        )
    return seconds


# --- as JSON ----------------------------------------------------------------------------------------------------------


def _shown(found: Iterable[Message]) -> list[dict[str, Any]]:
    """Return messages as RabbitMQ's API shows those that were got out of a queue."""
    return [_message(message) for message in found]


def _message(message: Message) -> dict[str, Any]:
    payload, encoding = shown_payload(message.body, "auto")
    properties = dict(message.properties)
    if message.headers:
        properties["headers"] = message.headers
    due = {} if message.due is None else {"due": round(message.due.timestamp() * 1000)}
    offset = {} if message.offset is None else {"offset": message.offset}
    return {
        **due,
        **offset,
        "vhost": shown_name(message.vhost),
        "exchange": shown_name(message.exchange),
        "routing_key": shown_name(message.routing_key),
        "queues": [shown_name(queue) for queue in message.queues],
        "redelivered": message.redelivered,
        "properties": _plain(properties),
        "payload_bytes": len(message.body),
        "payload": payload,
        "payload_encoding": encoding,
    }


def _plain(value: Any) -> Any:
    match value:
        case str():
            return shown_name(value)
        case bytes():
            return shown_bytes(value)
        case Mapping():
            return {shown_name(name): _plain(each) for name, each in value.items()}
        case list():
            return [_plain(each) for each in value]
        case datetime.datetime():
            return int(value.timestamp())
        case decimal.Decimal():
            return float(value)
        case _:
            return value


ROUTES = (
    Route("/testing/wait-until", post=wait_until),
    Route("/testing/published", get=published),
    Route("/testing/queues/{vhost}/{name}/messages", get=messages),
    Route("/testing/queues/{vhost}/{name}/delayed", get=delayed),
    Route("/testing/queues/{vhost}/{name}/locked", get=locked),
    Route("/testing/queues/{vhost}/{name}/groups", get=groups),
    Route("/testing/streams/{vhost}/{name}", get=stream),
    Route("/testing/batches/{vhost}/{id}", get=batch),
    Route("/testing/unroutable", get=unroutable),
    Route("/testing/channel-errors", get=channel_errors),
)
