"""Direct reply-to: replies go straight to the requester's channel, without a queue.

A requester consumes the pseudo queue `amq.rabbitmq.reply-to`; the broker rewrites reply_to of what it publishes to a
name that only it knows, and a responder publishes to the default exchange with that name as routing key
(rabbit_channel.erl, rabbit_direct_reply_to.erl).
"""

import base64
import secrets
from collections.abc import Callable

from amqpbroker.broker.consumer import Consumer
from amqpbroker.broker.destination import Destination
from amqpbroker.broker.message import Message

PSEUDO_QUEUE = "amq.rabbitmq.reply-to"
_PREFIX = PSEUDO_QUEUE + "."


def is_direct_reply(name: str) -> bool:
    """Whether a queue name is one that replies are (or were) published to."""
    return name.startswith(_PREFIX)


class DirectReply(Destination):
    """Where replies to one channel go. They wait nowhere: a requester that has stopped reading loses further ones."""

    def __init__(self, name: str, consumer: Consumer, is_flooded: Callable[[], bool]) -> None:
        super().__init__(name)
        self.instant = True
        self.consumer = consumer
        self._is_flooded = is_flooded

    def publish(self, message: Message) -> bool:
        if not self._is_flooded():
            self.consumer.hand(message, 0, 0)
        return True


class DirectReplies:
    """All the reply consumers of a broker, by the name that their replies are published to."""

    def __init__(self) -> None:
        self._replies: dict[str, DirectReply] = {}

    def open(self, consumer: Consumer, is_flooded: Callable[[], bool]) -> DirectReply:
        """A fresh, unguessable name for the consumer; `is_flooded()` says that its peer reads too little."""
        token = base64.urlsafe_b64encode(secrets.token_bytes(24)).decode()
        reply = DirectReply(_PREFIX + token, consumer, is_flooded)
        self._replies[reply.name] = reply
        return reply

    def close(self, reply: DirectReply) -> None:
        self._replies.pop(reply.name, None)

    def find(self, name: str) -> DirectReply | None:
        return self._replies.get(name) if is_direct_reply(name) else None
