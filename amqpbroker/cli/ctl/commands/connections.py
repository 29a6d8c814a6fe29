"""Closing connections."""

from amqpbroker.cli.ctl.api import quoted
from amqpbroker.cli.ctl.command import Call, Command
from amqpbroker.cli.ctl.failure import ApiError, CtlError

GROUP = "Operations"


def close_connection(call: Call) -> None:
    name, reason = call.words
    try:
        call.api.delete(f"connections/{quoted(name)}", {"X-Reason": reason})
    except ApiError as error:
        if error.http_status == 404:
            raise CtlError(f"There is no connection '{name}': `list_connections name` lists them") from error
        raise


def close_all_connections(call: Call) -> str:
    path = "connections" if "global" in call.options else f"vhosts/{quoted(call.vhost)}/connections"
    return _close(call, path, call.words[0])


def close_all_user_connections(call: Call) -> str:
    return _close(call, f"connections/username/{quoted(call.words[0])}", call.words[1])


def _close(call: Call, path: str, reason: str) -> str:
    names = [connection["name"] for connection in call.api.get(path)]
    closed = sum([call.api.discard(f"connections/{quoted(name)}", {"X-Reason": reason}) for name in names])
    return f"Closed {closed} connections"


COMMANDS = (
    Command(
        "close_connection",
        GROUP,
        "Closes the connection with this name or process id of list_connections.",
        "<connection> <explanation>",
        close_connection,
        lambda call: f"Closing connection {call.words[0]}, reason: {call.words[1]}...",
    ),
    Command(
        "close_all_connections",
        GROUP,
        "Closes all connections of a vhost, or with --global of all vhosts.",
        "<explanation>",
        close_all_connections,
        lambda call: f"Closing all connections in vhost {call.vhost}, reason: {call.words[0]}...",
        {"global": False},
    ),
    Command(
        "close_all_user_connections",
        GROUP,
        "Closes all connections of a user.",
        "<username> <explanation>",
        close_all_user_connections,
        lambda call: f"Closing connections of user {call.words[0]}, reason: {call.words[1]}...",
    ),
)
