"""Makes a Config from keys and values."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from amqpbroker.config import assembly, environment, files, foreign
from amqpbroker.config.accepted import LeftOut
from amqpbroker.config.assignment import Assignment, Kind, Origin
from amqpbroker.config.config import Config
from amqpbroker.config.setting import ConfigError, Setting
from amqpbroker.config.table import SETTINGS, find
from amqpbroker.config.tls import Tls


class Loaded(NamedTuple):
    """A configuration, its assignments (weakest first), the files that were read, and warnings."""

    config: Config
    assignments: tuple[Assignment, ...]
    files: tuple[Path, ...]
    warnings: tuple[str, ...]


def load(assignments: Iterable[tuple[str, str]], environ: Mapping[str, str]) -> Config:
    """Return the configuration of `assignments`, (key, value) pairs of which the last one wins.

    Variables of `environ` that the table names count as if they were assigned first. Raises ConfigError.
    """
    variables = [a for over_files in (False, True) for a in environment.assigned(environ, over_files)]
    flags = [Assignment(key, text, Origin(Kind.FLAG)) for key, text in assignments]
    return made([*variables, *flags], lambda _: None)


def load_all(paths: Sequence[Path] | None, environ: Mapping[str, str], flags: Iterable[Assignment]) -> Loaded:
    """Load files, environment and flags together.

    Without `paths`, files are read from their standard locations. Raises ConfigError.
    """
    warnings: list[str] = []
    found = files.in_place(environ, warnings.append) if paths is None else paths
    from_files = files.read(found, environ, warnings.append)
    environment.check(environ, warnings.append)
    weak = list(environment.assigned(environ, over_files=False))
    if any(_is_named_listener(a.key) for a in from_files):
        # RABBITMQ_NODE_PORT is the port of the default listener, which exists only if a file has none.
        weak = [a for a in weak if a.key != "listeners.tcp.default"]
    assignments = (*weak, *from_files, *environment.assigned(environ, over_files=True), *flags)
    config = made(assignments, warnings.append)
    return Loaded(config, assignments, tuple(found), tuple(dict.fromkeys(warnings)))


def made(assignments: Sequence[Assignment], warn: files.Warn) -> Config:
    """Return the configuration of the assignments, of which the last one wins. Raises ConfigError."""
    values: dict[str, dict[str, Any]] = {}
    for assignment in assignments:
        if foreign.is_foreign(assignment.key):
            check_foreign(assignment, warn)
            continue
        setting, name, value = _kept(assignment, warn)
        named = values.setdefault(setting.key, {})
        named[name] = assembly.merged(setting, named.get(name), value)

    attributes: dict[str, Any] = {}
    for setting in SETTINGS:
        if setting.attribute and setting.key in values:
            _set(attributes, setting.attribute, values[setting.key][""])
    simple = {name: value for name, value in attributes.items() if not isinstance(value, dict)}
    config = Config(**simple)
    config = replace(
        config,
        **{name: _with(getattr(config, name), part) for name, part in attributes.items() if isinstance(part, dict)},
    )
    try:
        return assembly.assembled(config, values, warn)
    except ConfigError as error:
        for assignment in reversed(assignments):
            if assignment.key == error.key:
                raise assignment.origin.error(str(error)) from error
        raise


def check_foreign(assignment: Assignment, warn: files.Warn) -> None:
    """Warn of a RabbitMQ key that has no effect here. Raises ConfigError if it cannot be ignored."""
    if foreign.has_no_effect(assignment.key, assignment.text):
        return
    refused = foreign.reason_in(foreign.REFUSED, assignment.key)
    if refused:
        raise assignment.origin.error(f"{assignment.key}: {refused}")
    left_out = foreign.reason_in(foreign.LEFT_OUT, assignment.key)
    warn(f"{assignment.origin}: {assignment.key} has no effect: {left_out}")


def problems(path: Path, environ: Mapping[str, str], warn: files.Warn) -> list[str]:
    """Return all errors in a file, or in the files of a directory."""
    try:
        assignments = files.read(files.files_of(str(path)) if path.is_dir() else [path], environ, warn)
    except ConfigError as error:
        return [str(error)]
    found: list[str] = []
    for assignment in assignments:
        try:
            if foreign.is_foreign(assignment.key):
                check_foreign(assignment, warn)
            else:
                _kept(assignment, warn)
        except ConfigError as error:
            found.append(str(error))
    if not found:
        try:
            made(assignments, lambda _: None)
        except ConfigError as error:
            found.append(str(error))
    return found


def parsed(assignment: Assignment) -> tuple[Setting, str, Any]:
    """Return the row, the word in place of its `$`, and the value. Raises ConfigError."""
    key, text, origin = assignment.key, assignment.text, assignment.origin
    try:
        setting, name = find(key)
    except ConfigError as error:
        raise origin.error(str(error)) from None
    if setting.secret and text.startswith("encrypted:"):
        raise origin.error(f"{key}: encrypted values are not supported; write $(NAME) to use an environment variable")
    try:
        return setting, name, setting.accepted.parse(text)
    except ValueError:
        shown = "..." if setting.secret else text
        raise origin.error(f"{key} = {shown}: this must be {setting.accepted.text}") from None


def _kept(assignment: Assignment, warn: files.Warn) -> tuple[Setting, str, Any]:
    """Return the result of `parsed`; warn if the value is ignored."""
    setting, name, value = parsed(assignment)
    if isinstance(value, LeftOut):
        warn(f"{assignment.origin}: {assignment.key} = {assignment.text} is ignored: {value.reason}")
    return setting, name, value


def _is_named_listener(key: str) -> bool:
    return key.startswith("listeners.tcp.") and key != "listeners.tcp.default"


def _set(attributes: dict[str, Any], attribute: str, value: Any) -> None:
    """Set a value in nested dicts by its dotted name."""
    *outer, last = attribute.split(".")
    for name in outer:
        attributes = attributes.setdefault(name, {})
    attributes[last] = value


def _with(instance: Any, attributes: Mapping[str, Any]) -> Any:
    """Return a part of the configuration with attributes replaced, including attributes of its attributes."""
    replaced = {
        name: _with(getattr(instance, name), value) if isinstance(value, dict) else value
        for name, value in attributes.items()
    }
    return replace(instance, **replaced) if isinstance(instance, Tls) else instance._replace(**replaced)
