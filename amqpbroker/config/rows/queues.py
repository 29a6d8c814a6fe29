"""Queues, and how safe what is in them is."""

from amqpbroker.config.accepted import one_of
from amqpbroker.config.setting import Setting

# fmt: off
ROWS: tuple[Setting, ...] = (
    Setting("default_queue_type", one_of("classic", "quorum"), "classic",
            "The type of a queue declared without x-queue-type.", "default_queue_type"),
    Setting("durability", one_of("fsync", "os", "none"), "fsync",
            "What a confirm of a persistent message vouches for: `fsync`, it is on the disk and survives a power loss;"
            " `os`, it is with the operating system and survives kill -9; `none`, the broker has it, and kill -9 may"
            " lose what the last turns of its loop took.", "durability"),
)
# fmt: on
