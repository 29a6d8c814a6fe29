"""Definitions that are imported at start."""

from amqpbroker.config.accepted import ANY, BOOLEAN, one_of
from amqpbroker.config.setting import Setting

# fmt: off
ROWS: tuple[Setting, ...] = (
    Setting("load_definitions", ANY, "",
            "File of definitions in RabbitMQ's format, or directory of such files, to import at every start."),
    Setting("definitions.import_backend", one_of("local_filesystem"), "local_filesystem",
            "Source of further definitions."),
    Setting("definitions.local.path", ANY, "",
            "Another file or directory of definitions, which is imported after load_definitions."),
    Setting("definitions.skip_if_unchanged", BOOLEAN, "false",
            "Skip the import if the definitions have not changed since the previous start.",
            "definitions.skip_if_unchanged"),
)
# fmt: on
