"""Commands that list, restart and delete shovels."""

from amqpbroker.cli.ctl.api import quoted
from amqpbroker.cli.ctl.command import Call, Command, Rows
from amqpbroker.cli.ctl.failure import CtlError

GROUP = "Shovels"

#: Column -> its name in the API.
_COLUMNS = {
    "name": "name",
    "vhost": "vhost",
    "type": "type",
    "state": "state",
    "source": "src_uri",
    "source_protocol": "src_protocol",
    "source_queue": "src_queue",
    "source_exchange": "src_exchange",
    "source_exchange_key": "src_exchange_key",
    "destination": "dest_uri",
    "destination_protocol": "dest_protocol",
    "destination_queue": "dest_queue",
    "destination_exchange": "dest_exchange",
    "destination_exchange_key": "dest_exchange_key",
    "termination_reason": "reason",
    "last_changed": "timestamp",
}


def shovel_status(call: Call) -> Rows:
    found = call.api.get("shovels")
    return Rows(list(_COLUMNS), [[each.get(key, "") for key in _COLUMNS.values()] for each in found])


def restart_shovel(call: Call) -> None:
    _delete(call, "/restart")


def delete_shovel(call: Call) -> None:
    _delete(call, "")


def _delete(call: Call, what: str) -> None:
    name = call.words[0]
    if not call.api.discard(f"shovels/vhost/{quoted(call.vhost)}/{quoted(name)}{what}"):
        raise CtlError(f"Shovel with the given name was not found in virtual host '{call.vhost}'")


COMMANDS = (
    Command("shovel_status", GROUP, "Lists the shovels and their states.", "", shovel_status, "Shovel status ..."),
    Command(
        "restart_shovel",
        GROUP,
        "Restarts a shovel, which connects again.",
        "<name>",
        restart_shovel,
        lambda call: f"Restarting dynamic Shovel {call.words[0]} in virtual host {call.vhost} ...",
    ),
    Command(
        "delete_shovel",
        GROUP,
        "Stops a shovel and deletes it.",
        "<name>",
        delete_shovel,
        lambda call: f"Deleting shovel {call.words[0]} in vhost {call.vhost} ...",
    ),
)
