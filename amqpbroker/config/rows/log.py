"""Settings of the log: rows of the table."""

from amqpbroker.config.accepted import BOOLEAN, FILE, LOG_FILE, MAX_INT, integer, one_of
from amqpbroker.config.config import LEVELS
from amqpbroker.config.setting import Setting

FORMATTER = one_of("plaintext", "json")
LEVEL = one_of(*LEVELS)

# fmt: off
ROWS: tuple[Setting, ...] = (
    Setting("log.console", BOOLEAN, "true",
            "Write the log to the console.", "log.console"),
    Setting("log.console.level", LEVEL, "",
            "Minimum level for the console. Without this setting and `log.default.level`, it is `warning`.",
            "log.console_level"),
    Setting("log.console.formatter", FORMATTER, "plaintext",
            "Format of the console log: RabbitMQ's lines, or a JSON object for each record.", "log.console_formatter"),
    Setting("log.console.stdio", one_of("stdout", "stderr"), "stderr",
            "Stream of the console log.", "log.console_stdio"),
    Setting("log.file", LOG_FILE, "false",
            "Log file; `false` writes none. If the file is moved away, a new one is created.", "log.file",
            environment=("RABBITMQ_LOGS",)),
    Setting("log.file.level", LEVEL, "",
            "Minimum level for the file. Without this setting and `log.default.level`, it is `info`.",
            "log.file_level"),
    Setting("log.file.formatter", FORMATTER, "plaintext",
            "Format of the log file: RabbitMQ's lines, or a JSON object for each record.", "log.file_formatter"),
    Setting("log.file.rotation.size", integer(0, MAX_INT, "bytes"), "0",
            "Size at which the file is rotated. 0 disables rotation.", "log.file_rotation_size_bytes"),
    Setting("log.file.rotation.count", integer(1, 1000), "5",
            "Number of rotated files to keep.", "log.file_rotation_count"),
    Setting("log.dir", FILE, "/var/log/rabbitmq",
            "Directory of the log file, if its name is relative.", "log.dir", environment=("RABBITMQ_LOG_BASE",)),
    Setting("log.$category.level", LEVEL, "",
            "Minimum level of a category: `connection`, `channel`, `queue`, `shovel`, `upgrade`, or `default` for all"
            " other records. If an output has its own level, it also applies."),
)
# fmt: on
