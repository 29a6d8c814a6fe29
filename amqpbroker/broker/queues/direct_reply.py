"""Direct reply-to: replies go directly to the requester's channel, without a queue.

A requester consumes from the pseudo queue `amq.rabbitmq.reply-to`. The broker rewrites the reply_to of its messages to
a name that only the broker knows, and a responder publishes to the default exchange with that name as routing key
(rabbit_channel.erl, rabbit_direct_reply_to.erl).
"""

import base64
import secrets
import struct
import zlib
from collections.abc import Callable

from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.message.message import Message

PSEUDO_QUEUE = "amq.rabbitmq.reply-to"
_PREFIX = PSEUDO_QUEUE + "."

#: Encoding of an Erlang process (erlang:term_to_binary/1). Before the node: version, NEW_PID_EXT, ATOM_UTF8_EXT, length
#: of the node's name. After the node: number of the process, serial, creation time of the node.
_BEFORE_NODE = struct.Struct(">BccH")
_BEHIND_NODE = struct.Struct(">III")
#: Number of possible hashes of a node's name (erlang:phash2/1).
_HASHES = 1 << 27
_KEY_BYTES = 16


def is_direct_reply(name: str) -> bool:
    """Return whether a queue name has the form of a name that replies are published to."""
    return name.startswith(_PREFIX)


def is_reserved_for_replies(name: str) -> bool:
    """Return whether the name is reserved, so that no user can declare a queue under it."""
    return name.startswith(PSEUDO_QUEUE)


class DirectReply(Destination):
    """The destination of replies to one channel.

    Replies do not wait: if the requester stops reading, further ones are lost.

    shortstr: the name as on the wire.
    """

    def __init__(self, name: str, consumer: Consumer, is_flooded: Callable[[], bool]) -> None:
        super().__init__(name)
        self.instant = True
        self.shortstr: bytes = bytes((len(name),)) + name.encode()
        self.consumer = consumer
        self._is_flooded = is_flooded

    def publish(self, message: Message) -> bool:
        if not self._is_flooded():
            self.consumer.hand(message, 0, 0)
        return True


class DirectReplies:
    """Direct reply-to consumers of a broker, by the name that their replies are published to.

    A name has two parts in base64, as clients expect: the identifier of an Erlang process, and a key. Here the process
    is the number of the reply consumer. created_s: creation time of the broker, in seconds since the epoch.
    """

    def __init__(self, node: str = "", created_s: int = 0) -> None:
        self._node = b"reply@%d" % (zlib.crc32(node.encode()) % _HASHES)
        self._created_s = created_s
        self._opened = 0
        self._replies: dict[str, DirectReply] = {}

    def open(self, consumer: Consumer, is_flooded: Callable[[], bool]) -> DirectReply:
        """Return a new, unguessable name for the consumer. is_flooded(): returns whether its peer reads too slowly."""
        self._opened += 1
        key = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
        reply = DirectReply(f"{_PREFIX}{self._process(self._opened)}.{key}", consumer, is_flooded)
        self._replies[reply.name] = reply
        return reply

    def _process(self, number: int) -> str:
        before = _BEFORE_NODE.pack(131, b"X", b"v", len(self._node))
        behind = _BEHIND_NODE.pack(number % (1 << 32), 0, self._created_s % (1 << 32))
        return base64.b64encode(before + self._node + behind).decode()

    def close(self, reply: DirectReply) -> None:
        self._replies.pop(reply.name, None)

    def find(self, name: str) -> DirectReply | None:
        return self._replies.get(name) if is_direct_reply(name) else None
