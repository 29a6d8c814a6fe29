"""Commands for one queue."""

from amqpbroker.cli.ctl.api import quoted
from amqpbroker.cli.ctl.command import Call, Command
from amqpbroker.cli.ctl.failure import DATA, ApiError, CtlError

GROUP = "Queues"


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


COMMANDS = (
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
