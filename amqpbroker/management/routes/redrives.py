"""Redrives: moving the messages of a dead letter queue back to the queues in which they died."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from amqpbroker.broker.queues.groups.key import KEY_TYPES
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.redrive.options import REASONS, VIA_EXCHANGE, VIA_QUEUE, RedriveFilter, RedriveOptions
from amqpbroker.broker.redrive.redrive import Redrive
from amqpbroker.broker.redrive.redrives import RedriveRunsError
from amqpbroker.management import failure
from amqpbroker.management.bodies import SMALL_BYTES
from amqpbroker.management.call import NO_CONTENT, Answer, Call
from amqpbroker.management.completion import all_synced
from amqpbroker.management.identity import Access
from amqpbroker.management.peeking import named_messages, one_of, wanted_headers
from amqpbroker.management.resource import Resource
from amqpbroker.management.values import MAX_NAME_BYTES

#: The largest rate and limit.
_MAX: Final = 1_000_000_000


def may_redrive(call: Call) -> None:
    call.permissions.check("read", "queue", call.path["name"])


def redrives(call: Call) -> list[dict[str, Any]]:
    """Return the last tasks of a queue, the newest first. Their filters have headers and keys of its messages."""
    queue = _existing(call)
    may_redrive(call)
    return [_row(call, task) for task in call.vhost.redrives.tasks(queue.name)]


def start(call: Call) -> Answer:
    """Start a task. Body: see `_KEYS`; an empty one redrives all messages to the queues in which they died."""
    _existing(call)
    source = call.actions.readable_queue(call.path["name"])
    if source.kind.retains:
        raise failure.messages_stay(source.name)
    options = _options(call.body())
    if options.destination is not None:
        if options.destination == source.name:
            raise failure.bad_request(f"destination = {failure.shown(options.destination)}: this is the queue itself")
        call.actions.writable_queue(options.destination)
    permissions = partial(call.identity.permissions, call.vhost.name)
    try:
        task = call.vhost.redrives.start(call.vhost, source, options, permissions, call.identity.user.name)
    except RedriveRunsError as error:
        raise failure.ApiError(409, "conflict", str(error)) from None
    return Answer(201, {"task_handle": task.handle})


async def cancel(call: Call) -> Answer:
    """Cancel the running task. Answered when the messages that it moved are safe where they are."""
    queue = _existing(call)
    may_redrive(call)
    task = call.vhost.redrives.current(queue.name)
    if task is None:
        raise failure.ApiError(404, "not_found", f"no redrive of queue '{queue.name}' is running")
    task.cancel()
    await all_synced(call.broker)
    return NO_CONTENT


def _existing(call: Call) -> Queue:
    """Raises ApiError 404, also if extensions are off."""
    found = call.vhost.queues.get(call.path["name"])
    if found is None or not call.broker.config.compat.extensions:
        raise failure.not_found()
    return found


def _row(call: Call, task: Redrive) -> dict[str, Any]:
    options = task.options
    wanted = options.filter
    row: dict[str, Any] = {
        "task_handle": task.handle,
        "queue": task.source,
        "vhost": call.vhost.name,
        "state": task.state,
        "moved": task.moved,
        "left": task.left,
        "failed": task.failed,
        "skipped": task.skipped,
        "destination": options.destination,
        "via": options.via,
        "max_messages_per_second": options.max_per_second or None,
        "limit": options.limit if options.limit >= 0 else None,
        "filter": {
            **({} if wanted.reason is None else {"reason": wanted.reason}),
            **({} if wanted.queue is None else {"queue": wanted.queue}),
            **({} if wanted.group is None else {"group": wanted.group}),
            **({} if wanted.group_key_type is None else {"group_key_type": wanted.group_key_type}),
            **({"header": dict(wanted.headers)} if wanted.headers else {}),
            **({} if wanted.messages is None else {"messages": len(wanted.messages)}),
        },
        "keep_history": options.keep_history,
        "restore_expiration": options.restore_expiration,
        "started_at": task.started_ms,
        "ended_at": task.ended_ms or None,
    }
    if task.problem:
        row["last_failure"] = task.problem
    if task.reason:
        row["reason"] = task.reason
    return row


# --- options ----------------------------------------------------------------------------------------------------------


def _wrong(key: str, value: object, expected: str) -> failure.ApiError:
    return failure.bad_request(f"{key} = {failure.shown(value)}: this must be {expected}")


def _name(key: str, value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value.encode()) <= MAX_NAME_BYTES:
        raise _wrong(key, value, f"a name of 1 to {MAX_NAME_BYTES} bytes")
    return value


def _text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(key, value, "a string")
    return value


def _key_type(key: str, value: object) -> str:
    if value not in KEY_TYPES:
        raise _wrong(key, value, f"one of {', '.join(KEY_TYPES)}")
    return str(value)


def _boolean(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _wrong(key, value, "true or false")
    return value


def _positive(key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MAX:
        raise _wrong(key, value, f"a whole number from 1 to {_MAX}")
    return value


def _via(key: str, value: object) -> str:
    if value not in (VIA_QUEUE, VIA_EXCHANGE):
        raise _wrong(key, value, f'"{VIA_QUEUE}" or "{VIA_EXCHANGE}"')
    return str(value)


def _reason(key: str, value: object) -> str:
    return one_of(key, value, REASONS)


def _headers(key: str, value: object) -> Mapping[str, Any]:
    return wanted_headers(key, value, with_null=True)


def _messages(key: str, value: object) -> Mapping[int, int]:
    return dict(named_messages(value, key))


_FILTERS: Final[Mapping[str, tuple[str, Callable[[str, object], Any]]]] = {
    "reason": ("reason", _reason),
    "queue": ("queue", _name),
    "group": ("group", _text),
    "group_key_type": ("group_key_type", _key_type),
    "header": ("headers", _headers),
    "messages": ("messages", _messages),
}


def _filter(key: str, value: object) -> RedriveFilter:
    if not isinstance(value, dict):
        raise _wrong(key, value, f"an object with any of {', '.join(_FILTERS)}")
    values = _values(f"{key}.", value, _FILTERS)
    if "group_key_type" in values and "group" not in values:
        raise failure.bad_request(f"{key}.group_key_type is the type of a group's key: set {key}.group, too")
    return RedriveFilter(**values)


#: Key -> attribute of RedriveOptions, and a function that checks a value and returns that of the attribute.
_KEYS: Final[Mapping[str, tuple[str, Callable[[str, object], Any]]]] = {
    "destination": ("destination", _name),
    "via": ("via", _via),
    "max_messages_per_second": ("max_per_second", _positive),
    "limit": ("limit", _positive),
    "filter": ("filter", _filter),
    "keep_history": ("keep_history", _boolean),
    "restore_expiration": ("restore_expiration", _boolean),
}


def _values(
    before: str, body: Mapping[str, Any], keys: Mapping[str, tuple[str, Callable[[str, object], Any]]]
) -> dict[str, Any]:
    """Return the values of attributes; null stands for an absent key. Raises ApiError 400."""
    values = {}
    for key, value in body.items():
        if key not in keys:
            raise failure.bad_request(f"{before}{key} is not known here; the keys are {', '.join(keys)}")
        if value is not None:
            attribute, check = keys[key]
            values[attribute] = check(before + key, value)
    return values


def _options(body: Mapping[str, Any]) -> RedriveOptions:
    """Raises ApiError 400."""
    if body.get("reset_count") is not None and not _boolean("reset_count", body["reset_count"]):
        raise failure.bad_request(
            "reset_count = false: a dead letter has no delivery count of the queue in which it died, so this must be "
            "true"
        )
    values = _values("", {key: value for key, value in body.items() if key != "reset_count"}, _KEYS)
    if "destination" in values and values.get("via") == VIA_EXCHANGE:
        raise failure.bad_request('destination and via = "exchange" exclude each other: leave out one of them')
    return RedriveOptions(**values)


RESOURCES = (
    Resource(
        "/queues/{vhost}/{name}/redrive",
        Access.VHOST,
        get=redrives,
        post=start,
        delete=cancel,
        may_send=may_redrive,
        max_body_bytes=SMALL_BYTES,
    ),
)
