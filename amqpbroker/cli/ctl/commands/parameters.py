"""Runtime parameters."""

import json
from typing import Any

from amqpbroker.cli.ctl.api import quoted
from amqpbroker.cli.ctl.command import Call, Command, Rows
from amqpbroker.cli.ctl.failure import CtlError
from amqpbroker.cli.json_text import decoded

GROUP = "Parameters"


def json_word(text: str) -> Any:
    """Return the value of a word that is JSON. Raises CtlError."""
    try:
        return decoded(text)
    except json.JSONDecodeError:
        raise CtlError(f"Could not parse JSON document: {text}") from None
    except ValueError as error:
        raise CtlError(f"Could not parse JSON document: {error}") from None


def set_parameter(call: Call) -> None:
    component, name, value = call.words
    body = {"value": json_word(value)}
    call.api.put(f"parameters/{quoted(component)}/{quoted(call.vhost)}/{quoted(name)}", body)


def clear_parameter(call: Call) -> None:
    component, name = call.words
    clear(call, f"parameters/{quoted(component)}/{quoted(call.vhost)}/{quoted(name)}")


def list_parameters(call: Call) -> Rows:
    found = [each for each in call.api.get("parameters") if each["vhost"] == call.vhost]
    return Rows(["component", "name", "value"], [[p["component"], p["name"], json.dumps(p["value"])] for p in found])


def set_global_parameter(call: Call) -> None:
    name, value = call.words
    call.api.put(f"global-parameters/{quoted(name)}", {"value": json_word(value)})


def clear_global_parameter(call: Call) -> None:
    clear(call, f"global-parameters/{quoted(call.words[0])}")


def list_global_parameters(call: Call) -> Rows:
    found = call.api.get("global-parameters")
    return Rows(["name", "value"], [[p["name"], json.dumps(p["value"], separators=(",", ":"))] for p in found])


def clear(call: Call, path: str) -> None:
    """Delete a parameter; policies are parameters, too. Raises CtlError if it does not exist."""
    if not call.api.discard(path):
        raise CtlError("Parameter does not exist")


COMMANDS = (
    Command(
        "set_parameter",
        GROUP,
        "Sets a runtime parameter.",
        "<component> <name> <value>",
        set_parameter,
        lambda call: (
            f'Setting runtime parameter "{call.words[1]}" for component "{call.words[0]}" to "{call.words[2]}" in vhost'
            f' "{call.vhost}" ...'
        ),
    ),
    Command(
        "clear_parameter",
        GROUP,
        "Removes a runtime parameter.",
        "<component> <name>",
        clear_parameter,
        lambda call: (
            f'Clearing runtime parameter "{call.words[1]}" for component "{call.words[0]}" on vhost "{call.vhost}" ...'
        ),
    ),
    Command(
        "list_parameters",
        GROUP,
        "Lists the runtime parameters of a vhost.",
        "",
        list_parameters,
        lambda call: f'Listing runtime parameters for vhost "{call.vhost}" ...',
    ),
    Command(
        "set_global_parameter",
        GROUP,
        "Sets a global runtime parameter.",
        "<name> <value>",
        set_global_parameter,
        lambda call: f'Setting global runtime parameter "{call.words[0]}" to "{call.words[1]}" ...',
    ),
    Command(
        "clear_global_parameter",
        GROUP,
        "Removes a global runtime parameter.",
        "<name>",
        clear_global_parameter,
        lambda call: f'Clearing global runtime parameter "{call.words[0]}" ...',
    ),
    Command(
        "list_global_parameters",
        GROUP,
        "Lists the global runtime parameters.",
        "",
        list_global_parameters,
        "Listing global runtime parameters ...",
    ),
)
