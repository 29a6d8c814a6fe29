"""Commands for one queue."""

from amqpbroker.cli.ctl.api import quoted
from amqpbroker.cli.ctl.command import Call, Command, Rows
from amqpbroker.cli.ctl.failure import DATA, ApiError, CtlError

GROUP = "Queues"
GROUP_COLUMNS = ("key", "state", "messages", "messages_unacknowledged", "messages_delayed")


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


def list_groups(call: Call) -> Rows:
    state = call.options.get("state")
    found = call.api.get(_groups(call) + (f"?state={quoted(state)}" if state else ""))
    return Rows(list(GROUP_COLUMNS), [[row[column] for column in GROUP_COLUMNS] for row in found])


def redrive_group(call: Call) -> str:
    return _resume(call, "redrive")


def discard_group_head(call: Call) -> str:
    return _resume(call, "discard")


def _resume(call: Call, action: str) -> str:
    answer = call.api.post(f"{_groups(call)}/{quoted(call.words[1])}/{action}", {})
    return f"{answer['messages']} messages of the group are delivered again"


def _groups(call: Call) -> str:
    return f"queues/{quoted(call.vhost)}/{quoted(call.words[0])}/groups"


COMMANDS = (
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
    ),
    Command(
        "discard_group_head",
        GROUP,
        "Discards the first message of a parked or closed message group, and redrives the others.",
        "<queue> <key>",
        discard_group_head,
        lambda call: f"Discarding from group '{call.words[1]}' of queue '{call.words[0]}' in vhost '{call.vhost}' ...",
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
