"""Policies and operator policies."""

import json
from functools import partial

from amqpbroker.cli.ctl.api import quoted
from amqpbroker.cli.ctl.command import Call, Command, Rows
from amqpbroker.cli.ctl.commands.parameters import clear, json_word
from amqpbroker.cli.ctl.failure import UsageError
from amqpbroker.cli.number_range import NumberRange

GROUP = "Policies"
_PRIORITY = NumberRange(-(2**31), 2**31 - 1)
_COLUMNS = ["vhost", "name", "pattern", "apply-to", "definition", "priority"]


def _set(path: str, call: Call) -> None:
    name, pattern, definition = call.words
    try:
        priority = _PRIORITY.parse(call.options.get("priority", "0"))
    except ValueError as error:
        raise UsageError(f"--priority: {error}") from None
    body = {
        "pattern": pattern,
        "definition": json_word(definition),
        "priority": priority,
        "apply-to": call.options.get("apply-to", "all"),
    }
    call.api.put(f"{path}/{quoted(call.vhost)}/{quoted(name)}", body)


def _clear(path: str, call: Call) -> None:
    clear(call, f"{path}/{quoted(call.vhost)}/{quoted(call.words[0])}")


def _list(path: str, call: Call) -> Rows:
    found = call.api.get(f"{path}/{quoted(call.vhost)}")
    for policy in found:
        policy["definition"] = json.dumps(policy["definition"], separators=(",", ":"))
    return Rows(_COLUMNS, [[policy[column] for column in _COLUMNS] for policy in found])


def _commands(what: str, plural: str, path: str, said: str, said_plural: str) -> tuple[Command, ...]:
    a = "an operator policy" if what == "operator_policy" else "a policy"
    return (
        Command(
            f"set_{what}",
            GROUP,
            f"Sets or changes {a}.",
            "<name> <pattern> <definition>",
            partial(_set, path),
            lambda call: (
                f'Setting {said} "{call.words[0]}" for pattern "{call.words[1]}" to "{call.words[2]}" with priority'
                f' "{call.options.get("priority", "0")}" for vhost "{call.vhost}" ...'
            ),
            {"priority": True, "apply-to": True},
        ),
        Command(
            f"clear_{what}",
            GROUP,
            f"Removes {a}.",
            "<name>",
            partial(_clear, path),
            lambda call: f'Clearing {what.replace("_", " ")} "{call.words[0]}" on vhost "{call.vhost}" ...',
        ),
        Command(
            f"list_{plural}",
            GROUP,
            f"Lists the {plural.replace('_', ' ')} of a vhost.",
            "",
            partial(_list, path),
            lambda call: f'Listing {said_plural} for vhost "{call.vhost}" ...',
        ),
    )


COMMANDS = (
    *_commands("policy", "policies", "policies", "policy", "policies"),
    *_commands(
        "operator_policy",
        "operator_policies",
        "operator-policies",
        "operator policy override",
        "operator policy overrides",
    ),
)
