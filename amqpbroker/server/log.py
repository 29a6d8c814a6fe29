"""The log: which records go where, and how they look.

Records are of a category by the logger that they are made with. Everything below the root logger is caught, so that
what libraries log goes the same way.
"""

import json
import logging
import os
import re
import sys
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path

from amqpbroker.config.config import LEVELS, Log

#: As RabbitMQ (that is, Erlang and syslog) has them; what Python lacks lies between.
NUMBERS = dict(zip(LEVELS, (10, 20, 25, 30, 40, 50, 55, 60, 1000), strict=True))
_NAMES = {number: name for name, number in NUMBERS.items()}

#: Lowest number of a level -> its colour (SGR): red from error on, yellow, cyan, none, dim.
_COLOURS = ((50, "1;31"), (40, "31"), (30, "33"), (25, "36"), (20, "0"), (0, "2"))

#: Logger -> its category. A logger below one of these has the same.
CATEGORIES = {
    "amqpbroker.connection": "connection",
    "amqpbroker.server.transport": "connection",
    "amqpbroker.server.handshake_listener": "connection",
    "amqpbroker.broker.users.login_guard": "connection",
    "amqpbroker.channel": "channel",
    "amqpbroker.broker.vhost": "queue",
    "amqpbroker.broker.queues.local_queue": "queue",
    "amqpbroker.broker.queues.lines.read_retry": "queue",
    "amqpbroker.broker.exchanges": "queue",
    "amqpbroker.shovel": "shovel",
    "amqpbroker.store.definitions.sqlite_definitions": "upgrade",
}

#: Fields of a record beside its text, in this order.
FIELDS = ("pid", "domain", "connection", "connection_name", "vhost", "user", "channel")

#: Control characters, which terminals obey. Clients can put them into names.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u2028\u2029]")


def set_up(log: Log) -> None:
    """Configure the loggers as `log` says. Raises OSError if a file cannot be written."""
    handlers = [_handler(output, formatter, levels) for output, formatter, levels in _outputs(log)]
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    for handler in handlers:
        root.addHandler(handler)
    # A record below the level of every output costs one comparison.
    thresholds = [handler.filters[0] for handler in handlers]
    for name, category in ((None, "default"), *CATEGORIES.items()):
        lowest = min((t.of(category) for t in thresholds if isinstance(t, Threshold)), default=NUMBERS["none"])
        logging.getLogger(name).setLevel(lowest)


class Threshold(logging.Filter):
    """Levels of one output by category. `own` is its own level, "" if that is not set; then `default` applies."""

    def __init__(self, own: str, default: str, levels: dict[str, str]) -> None:
        super().__init__()
        self._numbers = {
            category: _threshold(own, levels.get(category) or levels.get("default") or "", default)
            for category in {"default", *CATEGORIES.values()}
        }

    def of(self, category: str) -> int:
        return self._numbers[category]

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= self._numbers[category_of(record.name)]


def category_of(logger: str) -> str:
    while logger:
        if logger in CATEGORIES:
            return CATEGORIES[logger]
        logger = logger.rpartition(".")[0]
    return "default"


class PlainFormatter(logging.Formatter):
    """`2026-11-25 00:49:56.654337+00:00 [info] <0.7.0> accepting ...`, with that before each line of a record."""

    def format(self, record: logging.LogRecord) -> str:
        head = f"{_time(record)} [{_level(record)}] {getattr(record, 'pid', '<0.0.0>')} "
        text = _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", _text(self, record))
        return "\n".join(head + line for line in text.split("\n"))


class ColourFormatter(PlainFormatter):
    """The lines of `PlainFormatter` for a terminal: the time is dim, and the level has the colour of its severity."""

    def format(self, record: logging.LogRecord) -> str:
        colour = next(code for number, code in _COLOURS if record.levelno >= number)
        time, level = _time(record), f"[{_level(record)}]"
        plain, coloured = f"{time} {level}", f"\x1b[2m{time}\x1b[0m \x1b[{colour}m{level}\x1b[0m"
        return "\n".join(coloured + line.removeprefix(plain) for line in super().format(record).split("\n"))


def wants_colours(stream: object) -> bool:
    """Return whether a stream is a terminal that shows colours, and the user has not set NO_COLOR."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or os.name == "nt":
        return False
    return isinstance(stream, TextIOWrapper) and stream.isatty()


class JsonFormatter(logging.Formatter):
    """An object in one line: time, level and msg, and whatever else is known of the record."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {"time": _time(record), "level": _level(record), "msg": _text(self, record)}
        record.domain = f"rabbitmq.{category_of(record.name)}".removesuffix(".default")
        fields |= {name: _encodable(vars(record)[name]) for name in FIELDS if name in vars(record)}
        text = json.dumps(fields, ensure_ascii=False)
        return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def in_one_line(name: str) -> str:
    """Return a name for a record of one line. Formatters escape all control characters but line breaks."""
    return name.replace("\n", r"\x0a")


def _outputs(log: Log) -> list[tuple[logging.Handler, str, Threshold]]:
    levels = dict(log.levels)
    outputs: list[tuple[logging.Handler, str, Threshold]] = []
    if log.console:
        stream = sys.stdout if log.console_stdio == "stdout" else sys.stderr
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
        console = logging.StreamHandler(stream)
        outputs.append((console, log.console_formatter, Threshold(log.console_level, "warning", levels)))
    if log.file:
        outputs.append((_file(log), log.file_formatter, Threshold(log.file_level, "info", levels)))
    return outputs


def _file(log: Log) -> logging.Handler:
    """Raises OSError."""
    path = Path(log.dir) / log.file
    from logging.handlers import RotatingFileHandler, WatchedFileHandler

    path.parent.mkdir(parents=True, exist_ok=True)
    if log.file_rotation_size_bytes:
        return RotatingFileHandler(
            path,
            maxBytes=log.file_rotation_size_bytes,
            backupCount=log.file_rotation_count,
            encoding="utf-8",
            errors="backslashreplace",
        )
    return WatchedFileHandler(path, encoding="utf-8", errors="backslashreplace")


def _handler(output: logging.Handler, formatter: str, threshold: Threshold) -> logging.Handler:
    plain = ColourFormatter if wants_colours(getattr(output, "stream", None)) else PlainFormatter
    output.setFormatter(JsonFormatter() if formatter == "json" else plain())
    output.addFilter(threshold)
    return output


def _threshold(own: str, category: str, default: str) -> int:
    given = [NUMBERS[level] for level in (own, category) if level]
    return max(given) if given else NUMBERS[default]


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(" ", "microseconds")


def _level(record: logging.LogRecord) -> str:
    return _NAMES.get(record.levelno, record.levelname.lower())


def _text(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """The message, with the traceback behind it where there is one."""
    message = record.getMessage()
    if record.exc_info:
        message += "\n" + formatter.formatException(record.exc_info)
    return str(_encodable(message))


def _encodable(value: object) -> object:
    """Return the value without surrogates: client names may have bytes that are not UTF-8."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
