"""Settings of shovels."""

from amqpbroker.config.accepted import BOOLEAN
from amqpbroker.config.setting import Setting

# fmt: off
ROWS: tuple[Setting, ...] = (
    Setting("shovel.topology.predeclared", BOOLEAN, "false",
            "By default, shovels wait until their queues exist, instead of declaring them.",
            "shovel_predeclared"),
)
# fmt: on
