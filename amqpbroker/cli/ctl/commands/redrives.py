"""Commands that start, list and cancel redrives of dead letter queues."""

import sys
import time
from typing import Any, Final

from amqpbroker.cli.ctl.api import quoted
from amqpbroker.cli.ctl.command import Call, Command, Rows
from amqpbroker.cli.ctl.commands.groups import QUEUES as GROUP
from amqpbroker.cli.ctl.failure import SOFTWARE, CtlError, UsageError
from amqpbroker.cli.number_range import COUNTS

#: Interval of the requests for the progress.
_PAUSE_S: Final = 0.5

_COLUMNS: Final = (
    "task_handle",
    "state",
    "moved",
    "left",
    "failed",
    "skipped",
    "destination",
    "last_failure",
    "reason",
)


def _path(call: Call) -> str:
    return f"queues/{quoted(call.vhost)}/{quoted(call.words[0])}/redrive"


def redrive_queue(call: Call) -> str:
    options = call.options
    body: dict[str, Any] = {name: options[name] for name in ("destination", "via") if name in options}
    for option, key in (("rate", "max_messages_per_second"), ("limit", "limit")):
        if option in options:
            try:
                body[key] = COUNTS.parse(options[option])
            except ValueError as error:
                raise UsageError(f"--{option} {error}") from None
    filters = (("reason", "reason"), ("from", "queue"), ("group", "group"), ("group-key-type", "group_key_type"))
    wanted = {key: options[name] for name, key in filters if name in options}
    if wanted:
        body["filter"] = wanted
    body |= {name.replace("-", "_"): True for name in ("keep-history", "restore-expiration") if name in options}
    handle = call.api.post(_path(call), body)["task_handle"]
    if "progress" not in options:
        return f"Redrive {handle} was started"
    return _follow(call, handle)


def _follow(call: Call, handle: str) -> str:
    """Print the progress until the task ends; return the result. Raises CtlError if it is not completed."""
    while True:
        task = next((each for each in call.api.get(_path(call)) if each["task_handle"] == handle), None)
        if task is None:
            raise CtlError(f"Error:\nRedrive {handle} is no longer remembered", SOFTWARE)
        shown = _shown(task)
        if task["state"] == "COMPLETED":
            return shown
        if task["state"] != "RUNNING":
            raise CtlError(f"Error:\n{shown}", SOFTWARE)
        # Standard output has only the result.
        print(shown, file=sys.stderr, flush=True)  # noqa: T201
        time.sleep(_PAUSE_S)


def _shown(task: dict[str, Any]) -> str:
    counts = ", ".join(f"{task[name]} {name}" for name in ("moved", "left", "failed", "skipped"))
    why = task.get("reason") or task.get("last_failure")
    return f"{task['state']}: {counts}{f' ({why})' if why else ''}"


def cancel_redrive(call: Call) -> None:
    call.api.delete(_path(call))


def list_redrives(call: Call) -> Rows:
    rows = [["" if task.get(name) is None else task[name] for name in _COLUMNS] for task in call.api.get(_path(call))]
    return Rows(list(_COLUMNS), rows)


COMMANDS = (
    Command(
        "redrive_queue",
        GROUP,
        "Moves the messages of a dead letter queue back to the queues in which they died.",
        "<queue>",
        redrive_queue,
        lambda call: f"Redriving queue '{call.words[0]}' in vhost '{call.vhost}' ...",
        {
            "destination": True,
            "via": True,
            "rate": True,
            "limit": True,
            "reason": True,
            "from": True,
            "group": True,
            "group-key-type": True,
            "keep-history": False,
            "restore-expiration": False,
            "progress": False,
        },
    ),
    Command(
        "list_redrives",
        GROUP,
        "Lists the last redrives of a queue, the newest first.",
        "<queue>",
        list_redrives,
        lambda call: f"Listing redrives of queue '{call.words[0]}' in vhost '{call.vhost}' ...",
    ),
    Command(
        "cancel_redrive",
        GROUP,
        "Cancels the running redrive of a queue. Messages that it has moved stay where they are.",
        "<queue>",
        cancel_redrive,
        lambda call: f"Cancelling the redrive of queue '{call.words[0]}' in vhost '{call.vhost}' ...",
    ),
)
