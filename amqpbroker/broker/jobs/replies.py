"""The destination of the replies of workers to jobs."""

from collections.abc import Callable
from typing import final

from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.jobs.request import REPLY_PREFIX
from amqpbroker.message.message import Message
from amqpbroker.wire.values import text


@final
class JobReplies(Destination):
    """The destination of all replies in a vhost, whose routing keys name the jobs."""

    def __init__(self, store: Callable[[str, Message], bool]) -> None:
        """store(token, message): stores a reply, or returns False if it cannot."""
        super().__init__("")
        self._store = store

    def publish(self, message: Message) -> bool:
        return self._store(text(message.routing_key)[len(REPLY_PREFIX) :], message)
