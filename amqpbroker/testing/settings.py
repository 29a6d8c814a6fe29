"""Settings of a broker for tests: arguments of `Broker` as a `Config`."""

import dataclasses
import os
from collections.abc import Iterable, Mapping
from typing import Any

from amqpbroker.config import SETTINGS, Config, ConfigError, load
from amqpbroker.testing.hints import nearest

#: Defaults that differ from those of a server. Without heartbeats, unless a client asks for them, a client survives two
#: hours that pass at once.
DEFAULTS = {
    "prometheus.tcp.port": "none",
    "heartbeat": "0",
}

#: Arguments of `Broker` that are not settings.
ARGUMENTS = ("host", "port", "management", "vhosts", "users", "definitions")

#: Name of an argument, with underscores for dots -> the key.
_BY_NAME = {setting.key.replace(".", "_"): setting.key for setting in SETTINGS if "$" not in setting.key}


def config_of(host: str, port: int, management: bool, definitions: Any, settings: Mapping[str, Any]) -> Config:
    """Return the configuration of a broker in memory. Raises ConfigError."""
    assigned = [("listeners.tcp.default", f"[{host}]:{port}" if ":" in host else f"{host}:{port}")]
    assigned += [("management.tcp.port", "0" if management else "none"), *DEFAULTS.items()]
    if definitions is not None:
        if not isinstance(definitions, str | os.PathLike):
            raise ConfigError(f"definitions = {definitions!r}: this must be the name of a file, such as 'shop.json'")
        assigned.append(("load_definitions", os.fspath(definitions)))
    for name, value in settings.items():
        assigned += _assigned(_BY_NAME.get(name, name), value)
    try:
        return dataclasses.replace(load(assigned, {}), in_memory=True)
    except ConfigError as error:
        for name in settings:
            if str(error).startswith(f"there is no setting {name};"):
                near = nearest(name, (*ARGUMENTS, *_BY_NAME))
                hint = "" if near is None else f"; did you mean {near}?"
                raise ConfigError(f"there is no setting {name}{hint}") from None
        raise


def check_names(vhosts: Any, users: Any) -> None:
    """Raises ConfigError for invalid names of vhosts, or invalid users."""
    if isinstance(vhosts, str) or not all(isinstance(name, str) for name in vhosts):
        raise ConfigError(f"vhosts = {vhosts!r}: this must be a list of names, such as ['shop']")
    if not isinstance(users, Mapping) or not all(isinstance(text, str) for pair in users.items() for text in pair):
        raise ConfigError(
            "users: this must be a dict of names and passwords, all of them text, such as {'shop': 'secret'}"
        )


def _assigned(key: str, value: Any) -> Iterable[tuple[str, str]]:
    """Yield the assignments that a file would have. Raises ConfigError."""
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
            raise ConfigError(f"{key} = {value!r}: this must be text, a number, True, False, None, a list or a dict")
