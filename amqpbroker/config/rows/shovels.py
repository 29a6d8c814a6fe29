"""Settings of shovels."""

from amqpbroker.config.accepted import BOOLEAN
from amqpbroker.config.setting import Setting

# fmt: off
ROWS: tuple[Setting, ...] = (
    Setting("shovel.topology.predeclared", BOOLEAN, "false",
            "Whether shovels that do not say so declare no queues, but wait until they are there.",
            "shovel_predeclared"),
)
# fmt: on
