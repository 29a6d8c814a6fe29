"""Settings of the alarms for memory and disk."""

from amqpbroker.config.accepted import INFORMATION, share
from amqpbroker.config.setting import Setting

# fmt: off
ROWS: tuple[Setting, ...] = (
    Setting("vm_memory_high_watermark.relative", share(1), "0.6",
            "The share of the memory that the broker may take before publishers are blocked. The memory is the"
            " machine's or, if that is less, the container's. Known on Linux only: elsewhere nothing is blocked."),
    Setting("vm_memory_high_watermark.absolute", INFORMATION, "",
            "The same as a number of bytes, which wins over the share."),
    Setting("total_memory_available_override_value", INFORMATION, "",
            "How much memory there is, where the machine or the container says something else."),
    Setting("disk_free_limit.absolute", INFORMATION, "50MB",
            "How much must be free where the data directory is; below that publishers are blocked. 0 never blocks."),
    Setting("disk_free_limit.relative", share(1000), "",
            "The same as a multiple of the memory; disk_free_limit.absolute wins."),
)
# fmt: on
