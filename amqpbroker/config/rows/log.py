"""Settings of the log: rows of the table."""

from amqpbroker.config.accepted import BOOLEAN, FILE, LOG_FILE, MAX_INT, integer, one_of
from amqpbroker.config.config import LEVELS
from amqpbroker.config.setting import Setting

FORMATTER = one_of("plaintext", "json")
LEVEL = one_of(*LEVELS)

# fmt: off
ROWS: tuple[Setting, ...] = (
    Setting("log.console", BOOLEAN, "true",
            "Whether the log goes to the console.", "log.console"),
    Setting("log.console.level", LEVEL, "",
            "How much of it; `warning` and worse unless this, or `log.default.level`, says something else.",
            "log.console_level"),
    Setting("log.console.formatter", FORMATTER, "plaintext",
            "How it looks: RabbitMQ's lines, or a JSON object for each record.", "log.console_formatter"),
    Setting("log.console.stdio", one_of("stdout", "stderr"), "stderr",
            "Where the console's goes.", "log.console_stdio"),
    Setting("log.file", LOG_FILE, "false",
            "The file that the log goes to; `false` has none. One that was moved away is made again.", "log.file",
            environment=("RABBITMQ_LOGS",)),
    Setting("log.file.level", LEVEL, "",
            "How much of it; `info` and worse unless this, or `log.default.level`, says something else.",
            "log.file_level"),
    Setting("log.file.formatter", FORMATTER, "plaintext",
            "How it looks.", "log.file_formatter"),
    Setting("log.file.rotation.size", integer(0, MAX_INT, "bytes"), "0",
            "How large the file may become before it is put away. 0 lets it grow.", "log.file_rotation_size_bytes"),
    Setting("log.file.rotation.count", integer(1, 1000), "5",
            "How many that were put away are kept.", "log.file_rotation_count"),
    Setting("log.dir", FILE, "/var/log/rabbitmq",
            "The directory of a log file whose name has none.", "log.dir", environment=("RABBITMQ_LOG_BASE",)),
    Setting("log.$category.level", LEVEL, "",
            "How much is logged about `connection`, `channel`, `queue`, `shovel`, `upgrade`, or `default`, all that is"
            " about nothing else. An output whose own level is set writes no more than that."),
)
# fmt: on
