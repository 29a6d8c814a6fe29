"""Log settings: `Log`, the part of a `Config` that says which records go where in which format."""

from dataclasses import dataclass

#: As RabbitMQ has them; what a category is for says the log's set-up.
CATEGORIES = ("default", "connection", "channel", "queue", "mirroring", "federation", "shovel", "upgrade", "ra")
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency", "none")


@dataclass(frozen=True, slots=True)
class Log:
    """RabbitMQ's log settings. `file` is a name or "" for none, in `dir` unless it is absolute.

    An output's level of "" is its own default: `warning` for the console, `info` for a file. `levels` has those of
    categories. A file of more than `file_rotation_size_bytes` is put away, unless that is 0, and that many old ones are
    kept.
    """

    console: bool = True
    console_level: str = ""
    console_formatter: str = "plaintext"
    console_stdio: str = "stderr"
    file: str = ""
    file_level: str = ""
    file_formatter: str = "plaintext"
    file_rotation_size_bytes: int = 0
    file_rotation_count: int = 5
    dir: str = "/var/log/rabbitmq"
    levels: tuple[tuple[str, str], ...] = ()
