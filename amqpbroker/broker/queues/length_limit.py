"""How long a queue may get, and what becomes of what is too much (x-max-length, x-max-length-bytes, x-overflow)."""

from typing import TYPE_CHECKING, Final

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.message.message import MESSAGE_OCTETS, Message

if TYPE_CHECKING:
    from amqpbroker.broker.queues.local_queue import LocalQueue

#: Why such a message leaves: RabbitMQ's word, as in x-death.
MAXLEN = "maxlen"

#: How full a quorum queue that refuses publishes may be to take them again (rabbit_fifo: LOW_LIMIT).
REOPENED_AT = 0.8

#: How many octets of messages leave together: those that wait may be on the disk, and more than memory has room for.
LEAVING_BYTES: Final = 4 * 1024 * 1024


class LengthLimit:
    """Refuses publishes or drops ready messages, depending on the queue's settings.

    Unacknowledged messages do not count, returned messages that are delayed do. shut: a quorum queue exceeded its
    limit, and refuses publishes until it is well below.
    """

    __slots__ = ("shut",)

    def __init__(self) -> None:
        self.shut: bool = False

    def takes(self, queue: "LocalQueue", message: Message) -> bool:
        """Whether the message may be added (rabbit_amqqueue_process:will_overflow); else it has been dealt with."""
        settings = queue.settings
        if queue.quorum:
            return settings.overflow == "drop-head" or not self.is_shut(queue)
        if settings.overflow == "drop-head" or not _exceeds(queue, 1, message.size):
            return True
        if settings.overflow == "reject-publish-dlx":
            # It leaves without having come.
            queue.tally.left -= 1
            queue.leave([Entry(message, queue, 0, 0)], MAXLEN)
        return False

    def refuses(self, queue: "LocalQueue", count: int, size: int) -> bool:
        """Whether so many messages, of so many octets together, would be refused."""
        if queue.settings.overflow == "drop-head":
            return False
        return self.is_shut(queue) if queue.quorum else _exceeds(queue, count, size)

    def is_shut(self, queue: "LocalQueue") -> bool:
        """Whether a quorum queue refuses publishes: from the one that takes it above a limit, which it still keeps,
        until it is well below (rabbit_fifo:evaluate_limit). To be asked before anything is added."""
        settings = queue.settings
        count, size = queue.ready.count + queue.delayed_count, queue.ready.size + queue.delayed_size
        if (
            self.shut
            and (settings.max_length < 0 or count <= int(settings.max_length * REOPENED_AT))
            and (settings.max_length_bytes < 0 or size <= int(settings.max_length_bytes * REOPENED_AT))
        ):
            self.shut = False
        return self.shut

    def trim(self, queue: "LocalQueue") -> None:
        """Drop from the head until the limits hold, if that is what is to be done."""
        if not _exceeds(queue, 0, 0):
            return
        if queue.settings.overflow != "drop-head":
            self.shut = queue.quorum
            return
        dropped: list[Entry] = []
        octets = 0
        while queue.ready.count and _exceeds(queue, 0, 0) and queue.ready.load_head():
            entry = queue.pop()
            dropped.append(entry)
            octets += entry.message.size + MESSAGE_OCTETS
            if octets > LEAVING_BYTES and not queue.quorum:
                queue.leave(dropped, MAXLEN)
                dropped, octets = [], 0
        if queue.quorum:
            # The last one dropped is the first to be dead-lettered (rabbit_fifo:evaluate_limit).
            dropped.reverse()
        queue.leave(dropped, MAXLEN)
        queue.expire()


def _exceeds(queue: "LocalQueue", more_count: int, more_size: int) -> bool:
    settings, ready = queue.settings, queue.ready
    if queue.delayed is not None:
        more_count += queue.delayed_count
        more_size += queue.delayed_size
    return (0 <= settings.max_length < ready.count + more_count) or (
        0 <= settings.max_length_bytes < ready.size + more_size
    )
