"""Queues, and how safe what is in them is."""

from amqpbroker.config.accepted import BOOLEAN, MAX_INT, choice, integer, one_of
from amqpbroker.config.setting import Setting

QUEUE_TYPES = {
    "classic": "classic",
    "quorum": "quorum",
    "rabbit_classic_queue": "classic",
    "rabbit_quorum_queue": "quorum",
}

# fmt: off
ROWS: tuple[Setting, ...] = (
    Setting("default_queue_type", choice(QUEUE_TYPES), "classic",
            "The type of a queue declared without x-queue-type.", "default_queue_type"),
    Setting("queue_types.$type.enabled", one_of("true"), "", "No type of queues can be turned off."),
    Setting("exchange_types.local_random.enabled", one_of("true"), "", "No type of exchanges can be turned off."),
    Setting("quorum_queue.property_equivalence.relaxed_checks_on_redeclaration", BOOLEAN, "false",
            "Whether a quorum queue may be declared again as another type of queue.", "relaxed_redeclaration"),
    Setting("cluster_queue_limit", integer(1, MAX_INT, infinity=0), "infinity",
            "How many queues there may be.", "cluster_queue_limit"),
    Setting("cluster_exchange_limit", integer(1, MAX_INT, infinity=0), "infinity",
            "How many exchanges there may be.", "cluster_exchange_limit"),
    Setting("durability", one_of("fsync", "os", "none"), "fsync",
            "What a confirm of a persistent message vouches for: `fsync`, it is on the disk and survives a power loss;"
            " `os`, it is with the operating system and survives kill -9; `none`, the broker has it, and kill -9 may"
            " lose what the last turns of its loop took.", "durability"),
)
# fmt: on
