"""Definitions that are imported at start."""

from amqpbroker.config.accepted import ANY, BOOLEAN, one_of
from amqpbroker.config.setting import Setting

# fmt: off
ROWS: tuple[Setting, ...] = (
    Setting("load_definitions", ANY, "",
            "A file of definitions in RabbitMQ's format, or a directory of such, to import at every start."),
    Setting("definitions.import_backend", one_of("local_filesystem"), "local_filesystem",
            "Where further definitions come from."),
    Setting("definitions.local.path", ANY, "",
            "Another such file or directory, after load_definitions."),
    Setting("definitions.skip_if_unchanged", BOOLEAN, "false",
            "Whether definitions are left out that were imported by the start before.",
            "definitions.skip_if_unchanged"),
)
# fmt: on
