"""Permissions and topic permissions."""

from typing import Any

from amqpbroker.cli.ctl.api import quoted
from amqpbroker.cli.ctl.command import Call, Command, Rows
from amqpbroker.cli.ctl.commands.users import known
from amqpbroker.cli.ctl.failure import ApiError, CtlError

GROUP = "Access control"


def _check_vhost(call: Call) -> None:
    """Raises CtlError if there is no such vhost."""
    try:
        call.api.get(f"vhosts/{quoted(call.vhost)}")
    except ApiError as error:
        if error.http_status == 404:
            raise CtlError(f"Virtual host {call.vhost} does not exist") from error
        raise


def _check(call: Call) -> None:
    _check_vhost(call)
    known(call.api, call.words[0])


def _rows(found: list[dict[str, Any]], *columns: str) -> Rows:
    return Rows(list(columns), [[each[column] for column in columns] for each in found])


def set_permissions(call: Call) -> None:
    _check(call)
    name, configure, write, read = call.words
    rights = {"configure": configure, "write": write, "read": read}
    call.api.put(f"permissions/{quoted(call.vhost)}/{quoted(name)}", rights)


def set_permissions_globally(call: Call) -> None:
    name, configure, write, read = call.words
    known(call.api, name)
    for vhost in call.api.get("vhosts?columns=name"):
        rights = {"configure": configure, "write": write, "read": read}
        call.api.put(f"permissions/{quoted(vhost['name'])}/{quoted(name)}", rights)


def clear_permissions(call: Call) -> None:
    _check(call)
    call.api.discard(f"permissions/{quoted(call.vhost)}/{quoted(call.words[0])}")


def list_permissions(call: Call) -> Rows:
    _check_vhost(call)
    found = call.api.get(f"vhosts/{quoted(call.vhost)}/permissions")
    return _rows(found, "user", "configure", "write", "read")


def list_user_permissions(call: Call) -> Rows:
    known(call.api, call.words[0])
    found = call.api.get(f"users/{quoted(call.words[0])}/permissions")
    return _rows(found, "vhost", "configure", "write", "read")


def set_topic_permissions(call: Call) -> None:
    _check(call)
    name, exchange, write, read = call.words
    rights = {"exchange": exchange, "write": write, "read": read}
    call.api.put(f"topic-permissions/{quoted(call.vhost)}/{quoted(name)}", rights)


def clear_topic_permissions(call: Call) -> None:
    _check(call)
    exchange = f"/{quoted(call.words[1])}" if len(call.words) > 1 else ""
    call.api.discard(f"topic-permissions/{quoted(call.vhost)}/{quoted(call.words[0])}{exchange}")


def list_topic_permissions(call: Call) -> Rows:
    _check_vhost(call)
    found = call.api.get(f"vhosts/{quoted(call.vhost)}/topic-permissions")
    return _rows(found, "user", "exchange", "write", "read")


def list_user_topic_permissions(call: Call) -> Rows:
    known(call.api, call.words[0])
    found = call.api.get(f"users/{quoted(call.words[0])}/topic-permissions")
    return _rows(found, "vhost", "exchange", "write", "read")


COMMANDS = (
    Command(
        "set_permissions",
        GROUP,
        "Sets a user's permissions in a vhost, as regular expressions.",
        "<username> <conf> <write> <read>",
        set_permissions,
        lambda call: f'Setting permissions for user "{call.words[0]}" in vhost "{call.vhost}" ...',
    ),
    Command(
        "set_permissions_globally",
        GROUP,
        "Sets a user's permissions in all existing vhosts.",
        "<username> <conf> <write> <read>",
        set_permissions_globally,
        lambda call: f'Setting permissions for user "{call.words[0]}" in all virtual hosts ...',
    ),
    Command(
        "clear_permissions",
        GROUP,
        "Removes a user's permissions in a vhost.",
        "<username>",
        clear_permissions,
        lambda call: f'Clearing permissions for user "{call.words[0]}" in vhost "{call.vhost}" ...',
    ),
    Command(
        "list_permissions",
        GROUP,
        "Lists the permissions in a vhost.",
        "",
        list_permissions,
        lambda call: f'Listing permissions for vhost "{call.vhost}" ...',
    ),
    Command(
        "list_user_permissions",
        GROUP,
        "Lists a user's permissions in all vhosts.",
        "<username>",
        list_user_permissions,
        lambda call: f'Listing permissions for user "{call.words[0]}" ...',
    ),
    Command(
        "set_topic_permissions",
        GROUP,
        "Sets the routing keys of a topic exchange that a user may write and read.",
        "<username> <exchange> <write> <read>",
        set_topic_permissions,
        lambda call: (
            f'Setting topic permissions on "{call.words[1]}" for user "{call.words[0]}" in vhost "{call.vhost}" ...'
        ),
    ),
    Command(
        "clear_topic_permissions",
        GROUP,
        "Removes topic permissions for one exchange or for all.",
        "<username> [<exchange>]",
        clear_topic_permissions,
        lambda call: f'Clearing topic permissions for user "{call.words[0]}" in vhost "{call.vhost}" ...',
    ),
    Command(
        "list_topic_permissions",
        GROUP,
        "Lists the topic permissions in a vhost.",
        "",
        list_topic_permissions,
        lambda call: f'Listing topic permissions for vhost "{call.vhost}" ...',
    ),
    Command(
        "list_user_topic_permissions",
        GROUP,
        "Lists a user's topic permissions in all vhosts.",
        "<username>",
        list_user_topic_permissions,
        lambda call: f'Listing topic permissions for user "{call.words[0]}" ...',
    ),
)
