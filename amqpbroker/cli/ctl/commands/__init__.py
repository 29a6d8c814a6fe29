"""All commands, by name."""

from amqpbroker.cli.ctl.command import Command
from amqpbroker.cli.ctl.commands import (
    access,
    connections,
    definitions,
    deletions,
    health,
    lists,
    maintenance,
    node,
    parameters,
    policies,
    queues,
    redrives,
    shovels,
    streams,
    users,
    vhosts,
)

_MODULES = (
    node,
    maintenance,
    users,
    access,
    lists,
    health,
    parameters,
    policies,
    vhosts,
    queues,
    redrives,
    deletions,
    streams,
    connections,
    shovels,
    definitions,
)

COMMANDS: dict[str, Command] = {command.name: command for module in _MODULES for command in module.COMMANDS}
