"""From what a test gives to a Config: RabbitMQ's keys, as Python writes them."""

import dataclasses
import os
from collections.abc import Iterable, Mapping
from typing import Any

from amqpbroker.config import SETTINGS, Config, ConfigError, load

#: What differs from a broker that is to be operated: nothing is lost with a test's broker, and a client that does not
#: ask for heartbeats is to live through two hours that pass in a moment.
DEFAULTS = {
    "prometheus.tcp.port": "none",
    "heartbeat": "0",
}

#: A key as a name of an argument: its dots are underscores.
_BY_NAME = {setting.key.replace(".", "_"): setting.key for setting in SETTINGS if "$" not in setting.key}


def config_of(host: str, port: int, management: bool, definitions: Any, settings: Mapping[str, Any]) -> Config:
    """The configuration of a broker in memory. Raises ConfigError."""
    assigned = [("listeners.tcp.default", f"[{host}]:{port}" if ":" in host else f"{host}:{port}")]
    assigned += [("management.tcp.port", "0" if management else "none"), *DEFAULTS.items()]
    if definitions is not None:
        if not isinstance(definitions, str | os.PathLike):
            raise ConfigError(f"definitions = {definitions!r}: this must be the name of a file")
        assigned.append(("load_definitions", os.fspath(definitions)))
    for name, value in settings.items():
        key = _BY_NAME.get(name, name)
        assigned += [(key, text) for key, text in _assigned(key, value)]
    return dataclasses.replace(load(assigned, {}), in_memory=True)


def check_names(vhosts: Any, users: Any) -> None:
    """Raises ConfigError unless they are what Broker(...) says."""
    if isinstance(vhosts, str) or not all(isinstance(name, str) for name in vhosts):
        raise ConfigError(f"vhosts = {vhosts!r}: this must be a list of names")
    if not isinstance(users, Mapping) or not all(isinstance(text, str) for pair in users.items() for text in pair):
        raise ConfigError("users: this must be a dict of names and passwords, all of them text")


def _assigned(key: str, value: Any) -> Iterable[tuple[str, str]]:
    """Assignments as a file would have them. Raises ConfigError."""
    match value:
        case bool():
            yield key, "true" if value else "false"
        case None:
            yield key, "none"
        case str() | int() | float() | os.PathLike():
            yield key, str(value)
        case list() | tuple() | set() | frozenset():
            # Such as loopback_users.NAME = true, cors.allow_origins.1 = ORIGIN.
            for number, item in enumerate(value, 1):
                named = any(setting.key == f"{key}.$n" for setting in SETTINGS)
                yield (f"{key}.{number}", str(item)) if named else (f"{key}.{item}", "true")
        case dict():
            for name, inner in value.items():
                yield from _assigned(f"{key}.{name}", inner)
        case _:
            raise ConfigError(f"{key} = {value!r}: a setting is text, a number, True, False, a list or a dict of them")
