"""Message groups of a queue."""

from typing import Any, Final

from amqpbroker import errors
from amqpbroker.broker.queues.groups.group import Group
from amqpbroker.broker.queues.groups.key import KEY_TYPES, key_type, possible_keys, shown_key
from amqpbroker.broker.queues.groups.letters import LetterHeldError
from amqpbroker.broker.queues.groups.queue import GroupQueue
from amqpbroker.broker.queues.groups.redrive import GroupRedriveRunsError
from amqpbroker.broker.queues.groups.task import GroupTask
from amqpbroker.broker.queues.lines.pages import UnreadableError
from amqpbroker.management import failure
from amqpbroker.management.bodies import SMALL_BYTES
from amqpbroker.management.call import Answer, Call
from amqpbroker.management.completion import all_synced
from amqpbroker.management.identity import Access
from amqpbroker.management.listing import Listing
from amqpbroker.management.resource import Resource
from amqpbroker.management.routes.messages import may_read

_STATES: Final = ("free", "busy", "waiting", "parked", "closed")
#: Keys of the body of an action.
_KEYS: Final = ("key", "key_type", "force")


def groups(call: Call) -> Listing:
    """List the groups of a queue, or those in one state: parked and closed groups are found without the others."""
    may_read(call)
    index = _queue(call).line.groups
    wanted = call.query.get("state")
    if wanted is not None and wanted not in _STATES:
        raise failure.bad_request(f"state is to be one of {', '.join(_STATES)}, not {wanted}")
    found = index.stopped() if wanted in ("parked", "closed") else index.all()
    redrives = _queue(call).redrives
    return Listing(
        found,
        lambda group: _row(group, index.state_name(group), redrives.get(group)),
        _name,
        ordered=True,
        belongs=None if wanted is None else lambda group: index.state_name(group) == wanted,
    )


def _name(group: Group) -> str:
    return shown_key(_key(group))


def _key(group: Group) -> bytes:
    assert group.key is not None
    return group.key


def _row(group: Group, state: str, redrive: GroupTask | None) -> dict[str, Any]:
    note = group.note
    return {
        "key": _name(group),
        "key_type": key_type(_key(group)),
        "state": state,
        "since": None if note is None else note.expires_ms,
        "messages": group.waiting_count,
        "messages_unacknowledged": group.out,
        "messages_delayed": 0 if group.late is None else len(group.late),
        "redrive": None if redrive is None else _progress(redrive),
    }


def _progress(redrive: GroupTask) -> dict[str, Any]:
    return {
        "state": redrive.state,
        "moved": redrive.moved,
        "left": redrive.left,
        "missing": redrive.missing,
        "reason": redrive.reason or None,
    }


async def redrive(call: Call) -> dict[str, int] | Answer:
    """Return a stopped group to normal work."""
    return await _resume(call, discards=False)


async def discard(call: Call) -> dict[str, int] | Answer:
    """Discard the first message of a stopped group, and return the group to normal work."""
    return await _resume(call, discards=True)


async def _resume(call: Call, discards: bool) -> dict[str, int] | Answer:
    """Answered with 202 if the redrive goes on: the list then has the group until all its messages are back."""
    queue = _queue(call)
    body = call.body()
    call.permissions.check("read", "queue", queue.name)
    group = _stopped(queue, body)
    forced = body.get("force", False)
    if not isinstance(forced, bool):
        raise failure.bad_request(f"force = {failure.shown(forced)}: this must be true or false")
    sessions = call.broker.sessions
    try:
        count = call.actions.resume_group(
            queue, group, discards, lambda of: [entry for session in sessions for entry in session.held(of)], forced
        )
    except (GroupRedriveRunsError, LetterHeldError) as error:
        raise failure.ApiError(409, "conflict", str(error)) from None
    except UnreadableError as error:
        raise failure.ApiError(503, "service_unavailable", str(error)) from None
    task = queue.redrives.get(group)
    # Further slices may run while the answer waits for the disk.
    left = None if task is None else task.left
    if task is not None and task.reason:
        if task.is_conflict:
            raise failure.ApiError(409, "conflict", task.reason)
        raise failure.ApiError(503, "service_unavailable", task.reason)
    await all_synced(call.broker)
    return {"messages": count} if task is None else Answer(202, {"messages": count, "left": left})


def _stopped(queue: GroupQueue, body: dict[str, Any]) -> Group:
    """Return the stopped group that a body names. Raises ApiError 400, 404, and 409 if there are two."""
    for name in body:
        if name not in _KEYS:
            raise failure.bad_request(f"{name} is not known here; the keys are {', '.join(_KEYS)}")
    if "key" not in body:
        raise failure.bad_request('key is missing: name the group as the list shows it, such as {"key": "A"}')
    shown, wanted = body["key"], body.get("key_type")
    if not isinstance(shown, str):
        raise failure.bad_request(
            f"key = {failure.shown(shown)}: this must be a string, also for an integer; key_type tells them apart"
        )
    if wanted is not None and wanted not in KEY_TYPES:
        raise failure.bad_request(f"key_type = {failure.shown(wanted)}: this must be one of {', '.join(KEY_TYPES)}")
    keys = [key for key in possible_keys(shown) if wanted in (None, key_type(key))]
    found = [group for key in keys if (group := queue.line.groups.get(key)) is not None and group.state]
    if not found:
        raise failure.ApiError(404, "not_found", f"the queue has no stopped group with the key {failure.shown(shown)}")
    if len(found) > 1:
        types = " or ".join([key_type(_key(group)) for group in found])
        raise failure.ApiError(
            409, "conflict", f"several stopped groups have the key {failure.shown(shown)}: set key_type to {types}"
        )
    return found[0]


def _queue(call: Call) -> GroupQueue:
    """Return the queue of the path. Raises ApiError 400, also if it is exclusive to a connection, and 404."""
    found = call.vhost.queues.get(call.path["name"])
    if found is None:
        raise failure.not_found()
    if not isinstance(found, GroupQueue):
        raise failure.bad_request("the queue has no message groups: declare it with x-group-header")
    if found.owner is not None:
        raise failure.from_channel(errors.queue_locked(found.name, call.vhost.name), "queue")
    return found


RESOURCES = (
    Resource("/queues/{vhost}/{name}/groups", Access.VHOST, get=groups),
    Resource("/queues/{vhost}/{name}/groups/redrive", Access.VHOST, post=redrive, max_body_bytes=SMALL_BYTES),
    Resource("/queues/{vhost}/{name}/groups/discard", Access.VHOST, post=discard, max_body_bytes=SMALL_BYTES),
)
