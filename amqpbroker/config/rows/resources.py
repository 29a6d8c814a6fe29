"""Settings of the alarms for memory and disk."""

from amqpbroker.config.accepted import INFORMATION, fraction
from amqpbroker.config.setting import Setting

# fmt: off
ROWS: tuple[Setting, ...] = (
    Setting("vm_memory_high_watermark.relative", fraction(1), "0.6",
            "Fraction of the memory that the broker may use before publishers are blocked. The memory is that of the"
            " machine or, if it is less, of the container. Supported on Linux only; elsewhere nothing is blocked."),
    Setting("vm_memory_high_watermark.absolute", INFORMATION, "",
            "Memory limit in bytes, which overrides vm_memory_high_watermark.relative."),
    Setting("total_memory_available_override_value", INFORMATION, "",
            "Amount of memory, if it differs from what the machine or the container reports."),
    Setting("disk_free_limit.absolute", INFORMATION, "50MB",
            "Free disk space of the data directory below which publishers are blocked. 0 never blocks."),
    Setting("disk_free_limit.relative", fraction(1000), "",
            "Free disk space limit as a multiple of the memory. disk_free_limit.absolute overrides it."),
)
# fmt: on
