"""Effective value of each setting, and its source."""

import re
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from amqpbroker.config import assembly, foreign
from amqpbroker.config.accepted import LISTENER
from amqpbroker.config.assignment import Assignment, Kind, Origin
from amqpbroker.config.config import Config
from amqpbroker.config.loading import Loaded, parsed
from amqpbroker.config.setting import Setting
from amqpbroker.config.table import SETTINGS

HIDDEN = "********"
DEFAULT = Origin(Kind.DEFAULT)
_LISTENER = Config().listeners[0]

#: Limits that can be set in two ways, which have no default if the other way is used.
_INSTEAD = {
    "vm_memory_high_watermark.relative": "vm_memory_high_watermark.absolute",
    "disk_free_limit.absolute": "disk_free_limit.relative",
    "listeners.tcp.default": "listeners.tcp.$name",
    "loopback_users.$user": "loopback_users",
}


class Effective(NamedTuple):
    """A key, its value as it would be written, and its source. A secret value is hidden."""

    key: str
    value: str
    origins: tuple[Origin, ...]


def effective(loaded: Loaded) -> Iterator[Effective]:
    """Return all settings that have a value, in the table's order, without RabbitMQ's foreign keys."""
    assigned: dict[str, dict[str, list[Assignment]]] = {}
    for assignment in loaded.assignments:
        if not foreign.is_foreign(assignment.key):
            setting, name, _ = parsed(assignment)
            assigned.setdefault(setting.key, {}).setdefault(name, []).append(assignment)
    for setting in SETTINGS:
        if setting.key in assigned:
            yield from (_assigned(setting, assignments) for assignments in assigned[setting.key].values())
        elif setting.key not in _INSTEAD or _INSTEAD[setting.key] not in assigned:
            yield from _default(setting, loaded.config)


def written(value: str) -> str:
    """Return a value as it is written in rabbitmq.conf."""
    return f"'{value}'" if value != value.strip() or not value or re.search(r"[#\n]|^'", value) else value


def _assigned(setting: Setting, assignments: Sequence[Assignment]) -> Effective:
    """Return the last assignment; the host and the port of a listener may come from two."""
    last = assignments[-1]
    if setting.secret:
        return Effective(last.key, HIDDEN, (last.origin,))
    if setting.accepted is not LISTENER:
        return Effective(last.key, last.text, (last.origin,))
    merged = (_LISTENER.host, _LISTENER.port) if setting.key == "listeners.tcp.default" else None
    halves: dict[int, Origin] = {}
    for assignment in assignments:
        value = parsed(assignment)[2]
        merged = assembly.merged(setting, merged, value)
        halves.update({half: assignment.origin for half, given in enumerate(value) if given not in ("", None)})
    host, port = merged or ("", None)
    host = f"[{host}]" if ":" in host else host
    text = ":".join(str(part) for part in (host, port) if part not in ("", None))
    return Effective(last.key, text, tuple(dict.fromkeys(halves.values())))


def _default(setting: Setting, config: Config) -> Iterator[Effective]:
    value: Any = attrgetter(setting.attribute)(config) if setting.attribute else None
    if setting.attribute and (not setting.default or value != setting.accepted.parse(setting.default)):
        # Another setting determines the value.
        if value != "":
            yield Effective(setting.key, _shown(value), (DEFAULT,))
    elif " = " in setting.default:
        prefix = setting.key.rpartition(".")[0]
        for item in setting.default.split(", "):
            name, _, text = item.partition(" = ")
            yield Effective(f"{prefix}.{name}", text, (DEFAULT,))
    elif setting.default and "$" not in setting.key:
        yield Effective(setting.key, HIDDEN if setting.secret else setting.default, (DEFAULT,))


def _shown(value: object) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
