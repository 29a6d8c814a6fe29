"""Commands for one queue."""

import json
import re
import sys
import time
from typing import Any, Final

from amqpbroker.cli.ctl.api import quoted
from amqpbroker.cli.ctl.command import Call, Command, Rows
from amqpbroker.cli.ctl.commands.groups import QUEUES as GROUP
from amqpbroker.cli.ctl.failure import DATA, SOFTWARE, ApiError, CtlError, UsageError
from amqpbroker.cli.json_text import decoded

GROUP_COLUMNS = ("key", "key_type", "state", "messages", "messages_unacknowledged", "messages_delayed")

#: HTTP status of a new object.
_CREATED: Final = 201
#: Interval of the requests for the progress of a redrive.
_PAUSE_S: Final = 0.5
#: Number of bytes of a payload that peek_queue shows, as in RabbitMQ.
_PEEK_BYTES: Final = 64
#: Number of messages that are read with one request, to reach a position.
_PEEK_COUNT: Final = 1000


def declare_queue(call: Call) -> str:
    """Declare a durable queue."""
    arguments = _decoded(call.options.get("arguments", "{}"))
    if "type" in call.options:
        arguments["x-queue-type"] = call.options["type"]
    path = f"queues/{quoted(call.vhost)}/{quoted(call.words[0])}"
    status = call.api.put(path, {"durable": True, "arguments": arguments})
    return "Queue was declared" if status == _CREATED else "Queue exists with these properties"


def _decoded(text: str) -> dict[str, Any]:
    """Return the arguments of a queue. Raises UsageError."""
    try:
        found = decoded(text)
    except json.JSONDecodeError:
        found = None
    except ValueError as error:
        raise UsageError(f"--arguments: {error}") from None
    if not isinstance(found, dict):
        raise UsageError(f'--arguments is to be a JSON object such as {{"x-max-age": "7D"}}, not {text}')
    return found


def purge_queue(call: Call) -> None:
    try:
        call.api.delete(f"queues/{quoted(call.vhost)}/{quoted(call.words[0])}/contents")
    except ApiError as error:
        if error.http_status == 404:
            raise CtlError("Error:\nObject (queue, stream, exchange, etc) was not found", DATA) from error
        raise


def delete_queue(call: Call) -> str:
    path = f"queues/{quoted(call.vhost)}/{quoted(call.words[0])}"
    conditions = [f"{name}=true" for name in ("if-empty", "if-unused") if name in call.options]
    try:
        ready = call.api.get(path).get("messages_ready", 0)
        call.api.delete(path + ("?" + "&".join(conditions) if conditions else ""))
    except ApiError as error:
        if error.http_status == 404:
            raise CtlError("Queue not found", 64) from error
        raise
    return f"Queue was successfully deleted with {ready} ready messages"


def peek_queue(call: Call) -> Rows:
    """Show one message as `rabbitmq-queues peek` does, without changing the queue."""
    path = f"queues/{quoted(call.vhost)}/{quoted(call.words[0])}/peek"
    body: dict[str, Any] = {"state": call.options.get("state", "ready"), "truncate": _PEEK_BYTES, "cursor": None}
    if "offset" in call.options:
        offset = call.options["offset"]
        body["offset"] = int(offset) if re.fullmatch("-?[0-9]{1,15}", offset) else offset
    left = _position(call)
    while True:
        body["count"] = min(left, _PEEK_COUNT)
        try:
            answer = call.api.post(path, body)
        except ApiError as error:
            if error.http_status == 404:
                raise CtlError(f"Error:\nTarget queue was not found in virtual host '{call.vhost}'", DATA) from error
            raise
        found = answer["messages"]
        left -= len(found)
        if not left:
            return Rows(["keys", "values"], _fields(found[-1]))
        body["cursor"] = answer["cursor"]
        if body["cursor"] is None:
            raise CtlError("Error:\nTarget queue does not have a message at that position", DATA)


def _position(call: Call) -> int:
    given = call.words[1] if len(call.words) > 1 else "1"
    if re.fullmatch("[0-9]{1,12}", given) is None or not int(given):
        raise UsageError(f"the position is to be a whole number from 1 on, not {given}")
    return int(given)


def _fields(message: dict[str, Any]) -> list[list[Any]]:
    """Return the fields of a message in the order of rabbit_basic:peek_fmt_message/3."""
    properties = dict(message["properties"] or {})
    headers = properties.pop("headers", {})
    first = {
        f"payload (max {_PEEK_BYTES} bytes)": message["payload"],
        "exchange": message["exchange"],
        "routing_keys": [message["routing_key"]],
        "position": message["position"],
        "redelivered": message["redelivered"],
    }
    further = {f"header.{name}": value for name, value in headers.items()}
    return [[name, value] for name, value in (first | properties | further).items()]


def list_groups(call: Call) -> Rows:
    state = call.options.get("state")
    found = call.api.get(_groups(call) + (f"?state={quoted(state)}" if state else ""))
    return Rows(list(GROUP_COLUMNS), [[row[column] for column in GROUP_COLUMNS] for row in found])


def redrive_group(call: Call) -> str:
    return _resume(call, "redrive")


def discard_group_head(call: Call) -> str:
    return _resume(call, "discard")


def _resume(call: Call, action: str) -> str:
    group = {"key": call.words[1]}
    if "key-type" in call.options:
        group["key_type"] = call.options["key-type"]
    answer = call.api.post(f"{_groups(call)}/{action}", {**group, "force": True} if "force" in call.options else group)
    if "left" in answer:
        return _follow(call, group)
    return f"{answer['messages']} messages of the group are delivered again"


def _follow(call: Call, group: dict[str, str]) -> str:
    """Print the progress of a redrive that goes on until it ends; return the result. Raises CtlError if it failed."""
    while True:
        found = [each for state in ("closed", "parked") for each in call.api.get(f"{_groups(call)}?state={state}")]
        stopped = next((each for each in found if group.items() <= each.items()), None)
        task = None if stopped is None else stopped["redrive"]
        if stopped is None or task is None:
            return "all messages of the group are delivered again"
        if task["state"] != "RUNNING":
            reason = f"the redrive has failed, and the group is {stopped['state']}: {task['reason']}"
            raise CtlError(f"Error:\n{reason}", SOFTWARE)
        left = "others are searched" if task["left"] is None else f"{task['left']} left"
        # Standard output has only the result.
        print(f"{task['moved']} messages moved, {left}", file=sys.stderr, flush=True)  # noqa: T201
        time.sleep(_PAUSE_S)


def _groups(call: Call) -> str:
    return f"queues/{quoted(call.vhost)}/{quoted(call.words[0])}/groups"


COMMANDS = (
    Command(
        "peek_queue",
        GROUP,
        "Shows the message at a position of a queue, without consuming it.",
        "<queue> [<position>]",
        peek_queue,
        lambda call: f"Peeking at queue '{call.words[0]}' at position {''.join(call.words[1:]) or 1} ...",
        {"state": True, "offset": True},
    ),
    Command(
        "list_groups",
        GROUP,
        "Lists the message groups of a queue.",
        "<queue>",
        list_groups,
        lambda call: f"Listing groups of queue '{call.words[0]}' in vhost '{call.vhost}' ...",
        {"state": True},
    ),
    Command(
        "redrive_group",
        GROUP,
        "Returns a parked or closed message group to normal work.",
        "<queue> <key>",
        redrive_group,
        lambda call: f"Redriving group '{call.words[1]}' of queue '{call.words[0]}' in vhost '{call.vhost}' ...",
        {"key-type": True, "force": False},
    ),
    Command(
        "discard_group_head",
        GROUP,
        "Discards the first message of a parked or closed message group, and redrives the others.",
        "<queue> <key>",
        discard_group_head,
        lambda call: f"Discarding from group '{call.words[1]}' of queue '{call.words[0]}' in vhost '{call.vhost}' ...",
        {"key-type": True, "force": False},
    ),
    Command(
        "declare_queue",
        GROUP,
        "Declares a durable queue, of the vhost's default type unless --type is given.",
        "<queue>",
        declare_queue,
        lambda call: f"Declaring queue '{call.words[0]}' in vhost '{call.vhost}' ...",
        {"type": True, "arguments": True},
    ),
    Command(
        "purge_queue",
        GROUP,
        "Removes all ready messages of a queue.",
        "<queue>",
        purge_queue,
        lambda call: f"Purging queue '{call.words[0]}' in vhost '{call.vhost}' ...",
    ),
    Command(
        "delete_queue",
        GROUP,
        "Deletes a queue.",
        "<queue>",
        delete_queue,
        lambda call: f"Deleting queue '{call.words[0]}' on vhost '{call.vhost}' ...",
        {"if-empty": False, "if-unused": False},
    ),
)
