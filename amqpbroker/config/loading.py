"""From keys and values to a Config."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from amqpbroker.config import assembly
from amqpbroker.config.config import Config
from amqpbroker.config.setting import ConfigError
from amqpbroker.config.table import SETTINGS, find


def load(assignments: Iterable[tuple[str, str]], environ: Mapping[str, str]) -> Config:
    """The configuration that `assignments`, (key, value) pairs of which the last one wins, make.

    Variables of `environ` that the table names count as if they were assigned first. Raises ConfigError.
    """
    values: dict[str, dict[str, Any]] = {}
    for key, text in (*_from_environment(environ), *assignments):
        setting, name = find(key)
        try:
            value = setting.accepted.parse(text)
        except ValueError:
            raise ConfigError(f"{key} = {text}: this must be {setting.accepted.text}") from None
        named = values.setdefault(setting.key, {})
        named[name] = assembly.merged(setting, named.get(name), value)

    attributes: dict[str, Any] = {}
    for setting in SETTINGS:
        if setting.attribute and setting.key in values:
            _put(attributes, setting.attribute, values[setting.key][""])
    simple = {name: value for name, value in attributes.items() if not isinstance(value, dict)}
    config = Config(**simple)
    config = replace(
        config,
        **{name: _with(getattr(config, name), part) for name, part in attributes.items() if isinstance(part, dict)},
    )
    return assembly.assembled(config, values)


def _from_environment(environ: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    for setting in SETTINGS:
        for variable in setting.environment:
            if environ.get(variable):
                yield setting.key, environ[variable]


def _put(attributes: dict[str, Any], attribute: str, value: Any) -> None:
    """Put a value into nested dicts by its dotted name."""
    *outer, last = attribute.split(".")
    for name in outer:
        attributes = attributes.setdefault(name, {})
    attributes[last] = value


def _with(instance: Any, attributes: Mapping[str, Any]) -> Any:
    """A frozen dataclass with attributes replaced, and attributes of its attributes."""
    return replace(
        instance,
        **{
            name: _with(getattr(instance, name), value) if isinstance(value, dict) else value
            for name, value in attributes.items()
        },
    )
