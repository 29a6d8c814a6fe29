"""Configuration files: their locations and contents."""

import glob
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from amqpbroker.config import rabbitmq_conf
from amqpbroker.config.assignment import Assignment, Kind, Origin
from amqpbroker.config.setting import ConfigError

DIRECTORY = Path("/etc/rabbitmq")

#: Called with a warning about a setting that is valid, but may not have the intended effect.
Warn = Callable[[str], None]


def in_place(environ: Mapping[str, str], warn: Warn, directory: Path = DIRECTORY) -> list[Path]:
    """Return the files that RabbitMQ would read: that of RABBITMQ_CONFIG_FILE, then those of RABBITMQ_CONFIG_FILES.

    Unless these variables are set, they are rabbitmq.conf and conf.d/*.conf in /etc/rabbitmq. Raises ConfigError if
    there are advanced settings, which cannot be read, because they may be relevant to security.
    """
    advanced = environ.get("RABBITMQ_ADVANCED_CONFIG_FILE") or str(directory / "advanced.config")
    _refuse_advanced(Path(advanced if advanced.endswith(".config") else advanced + ".config"))
    _warn_of_variables(directory / "rabbitmq-env.conf", warn)
    found = [*_main(environ.get("RABBITMQ_CONFIG_FILE"), directory, warn)]
    pattern = environ.get("RABBITMQ_CONFIG_FILES") or str(directory / "conf.d" / "*.conf")
    return [*found, *files_of(pattern)]


def files_of(pattern: str) -> list[Path]:
    """Return the files that match a pattern, or those in a directory, sorted by name."""
    if Path(pattern).is_dir():
        pattern = glob.escape(pattern.rstrip("/")) + "/*"
    return [path for path in map(Path, sorted(glob.glob(pattern))) if path.is_file()]


def read(paths: Iterable[Path], environ: Mapping[str, str], warn: Warn) -> list[Assignment]:
    """Return the assignments of the files, in order, with variables replaced. Raises ConfigError."""
    found = [assignment for path in paths for assignment in _read(path, (), warn)]
    texts = {assignment.key: assignment.text for assignment in found}
    return [Assignment(a.key, _substituted(a, environ, texts), a.origin) for a in found]


def _main(named: str | None, directory: Path, warn: Warn) -> Iterator[Path]:
    """Return the main file. RABBITMQ_CONFIG_FILE may omit its extension, as in older releases of RabbitMQ."""
    if not named:
        path = directory / "rabbitmq.conf"
        if path.is_file():
            yield path
        return
    candidates = [Path(named)] if named.endswith(".conf") else [Path(named + ".conf"), Path(named)]
    for path in candidates:
        if path.exists() and not path.is_dir():
            yield path
            return
    if Path(named + ".config").exists():
        raise ConfigError(f"{named}.config: {rabbitmq_conf.NOT_READ}")
    warn(f"RABBITMQ_CONFIG_FILE: the file {named} does not exist")


def _read(path: Path, including: tuple[Path, ...], warn: Warn) -> Iterator[Assignment]:
    if path in including:
        raise ConfigError(f"{path}: this file includes itself")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: the file is not UTF-8") from error
    for key, value, line in rabbitmq_conf.parse(text, str(path)):
        origin = Origin(Kind.FILE, str(path), line)
        if key:
            yield Assignment(key, value, origin)
            continue
        if value.endswith(".config"):
            raise origin.error(f"{value} has Erlang terms, which are not supported; write them as KEY = VALUE lines")
        included = files_of(str(path.parent / value))
        if not included and not glob.has_magic(value):
            warn(f"{origin}: the file {value} does not exist")
        for one in included:
            yield from _read(one, (*including, path), warn)


def _substituted(assignment: Assignment, environ: Mapping[str, str], texts: Mapping[str, str]) -> str:
    """Return the text with each `$(NAME)` replaced by the value of the variable or of the other key."""

    def value(match: re.Match[str]) -> str:
        name = match[1].strip()
        if name in environ:
            return environ[name]
        if name in texts:
            return texts[name]
        raise assignment.origin.error(f"{assignment.key} uses $({name}), but this variable is not set")

    return re.sub(r"\$\(([^()]+)\)", value, assignment.text)


def _warn_of_variables(path: Path, warn: Warn) -> None:
    """Warn of a file of environment variables, which the start script of RabbitMQ reads."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    if re.search(r"^[ \t]*[^#\s]", text, re.MULTILINE):
        warn(f"{path} is not read; set its variables in the environment, with the prefix RABBITMQ_")


def _refuse_advanced(path: Path) -> None:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    terms = re.sub(r"%[^\n]*", "", text)
    if re.sub(r"\s", "", terms) not in ("", "[]."):
        raise ConfigError(
            f"{path}: advanced.config is not supported; write its settings as KEY = VALUE lines of rabbitmq.conf, and"
            " remove it or set RABBITMQ_ADVANCED_CONFIG_FILE to another file"
        )
