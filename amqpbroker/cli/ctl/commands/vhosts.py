"""Virtual hosts and their limits."""

import json
from typing import Any

from amqpbroker.cli.ctl.api import quoted
from amqpbroker.cli.ctl.command import Call, Command, Rows
from amqpbroker.cli.ctl.commands.users import limits_of
from amqpbroker.cli.ctl.failure import DATA, ApiError, CtlError, UsageError

GROUP = "Virtual hosts"

_COLUMNS = (
    "name",
    "tracing",
    "description",
    "tags",
    "default_queue_type",
    "cluster_state",
    "protected_from_deletion",
    "leader",
)
_METADATA = {"description": True, "tags": True, "default-queue-type": True}


def _metadata(call: Call) -> dict[str, Any]:
    return {name.replace("-", "_"): call.options[name] for name in _METADATA if name in call.options}


def add_vhost(call: Call) -> None:
    call.api.put(f"vhosts/{quoted(call.words[0])}", _metadata(call))


def update_vhost_metadata(call: Call) -> None:
    _change(call, call.words[0], _metadata(call))


def set_vhost_tags(call: Call) -> None:
    _change(call, call.words[0], {"tags": ",".join(call.words[1:])})


def trace_on(call: Call) -> str:
    _change(call, call.vhost, {"tracing": True})
    return f"Trace enabled for vhost {call.vhost}"


def trace_off(call: Call) -> str:
    _change(call, call.vhost, {"tracing": False})
    return f"Trace disabled for vhost {call.vhost}"


def _change(call: Call, name: str, changes: dict[str, Any]) -> None:
    try:
        vhost = call.api.get(f"vhosts/{quoted(name)}")
    except ApiError as error:
        raise _missing(name, error) from error
    kept = {"description": vhost.get("description", ""), "tags": ",".join(vhost.get("tags") or [])}
    if vhost.get("default_queue_type") not in (None, "undefined"):
        kept["default_queue_type"] = vhost["default_queue_type"]
    call.api.put(f"vhosts/{quoted(name)}", {**kept, **changes})


def _missing(name: str, error: ApiError) -> CtlError:
    return CtlError(f"Error:\nVirtual host '{name}' does not exist", DATA) if error.http_status == 404 else error


def delete_vhost(call: Call) -> None:
    try:
        call.api.delete(f"vhosts/{quoted(call.words[0])}")
    except ApiError as error:
        raise _missing(call.words[0], error) from error


def list_vhosts(call: Call) -> Rows:
    columns = call.words or ["name"]
    unknown = [column for column in columns if column not in _COLUMNS]
    if unknown:
        raise UsageError(f"Info key(s) {','.join(unknown)} are not supported")
    return Rows(columns, [[vhost.get(column, "") for column in columns] for vhost in call.api.get("vhosts")])


def set_vhost_limits(call: Call) -> None:
    for limit, value in limits_of(call.words[0]).items():
        call.api.put(f"vhost-limits/{quoted(call.vhost)}/{quoted(limit)}", {"value": value})


def clear_vhost_limits(call: Call) -> None:
    for limit in ("max-connections", "max-queues"):
        call.api.discard(f"vhost-limits/{quoted(call.vhost)}/{limit}")


def list_vhost_limits(call: Call) -> Any:
    if "global" in call.options:
        found = call.api.get("vhost-limits")
        return Rows(["vhost", "limits"], [[each["vhost"], json.dumps(each["value"])] for each in found])
    found = call.api.get(f"vhost-limits/{quoted(call.vhost)}")
    return json.dumps(found[0]["value"]) if found else None


COMMANDS = (
    Command(
        "add_vhost",
        GROUP,
        "Creates a virtual host, if it does not exist.",
        "<vhost>",
        add_vhost,
        lambda call: f'Adding vhost "{call.words[0]}" ...',
        _METADATA,
    ),
    Command(
        "delete_vhost",
        GROUP,
        "Deletes a virtual host with its queues, exchanges and permissions.",
        "<vhost>",
        delete_vhost,
        lambda call: f'Deleting vhost "{call.words[0]}" ...',
    ),
    Command("list_vhosts", GROUP, "Lists virtual hosts.", "[<column> ...]", list_vhosts, "Listing vhosts ..."),
    Command(
        "update_vhost_metadata",
        GROUP,
        "Changes description, tags or default queue type of a vhost.",
        "<vhost>",
        update_vhost_metadata,
        lambda call: f'Updating metadata of vhost "{call.words[0]}" ...',
        _METADATA,
    ),
    Command(
        "set_vhost_tags",
        GROUP,
        "Sets the tags of a vhost.",
        "<vhost> [<tag> ...]",
        set_vhost_tags,
        lambda call: f'Setting tags for virtual host "{call.words[0]}" to [{", ".join(call.words[1:])}] ...',
    ),
    Command(
        "trace_on",
        GROUP,
        "Publishes copies of all messages of a vhost to amq.rabbitmq.trace.",
        "",
        trace_on,
        lambda call: f'Starting tracing for vhost "{call.vhost}" ...',
    ),
    Command(
        "trace_off",
        GROUP,
        "Stops publishing copies to amq.rabbitmq.trace.",
        "",
        trace_off,
        lambda call: f'Stopping tracing for vhost "{call.vhost}" ...',
    ),
    Command(
        "set_vhost_limits",
        GROUP,
        'Sets limits, such as {"max-connections": 10, "max-queues": 20}.',
        "<definition>",
        set_vhost_limits,
        lambda call: f'Setting vhost limits to "{call.words[0]}" for vhost "{call.vhost}" ...',
    ),
    Command(
        "clear_vhost_limits",
        GROUP,
        "Removes all limits of a vhost.",
        "",
        clear_vhost_limits,
        lambda call: f'Clearing vhost "{call.vhost}" limits ...',
    ),
    Command(
        "list_vhost_limits",
        GROUP,
        "Lists the limits of a vhost, or with --global of all vhosts.",
        "",
        list_vhost_limits,
        lambda call: f'Listing limits for vhost "{call.vhost}" ...',
        {"global": False},
    ),
)
