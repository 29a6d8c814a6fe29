"""Dead letters of a message group, which went to dead letter queues when the group was closed."""

from typing import Final

from amqpbroker.broker.exchanges.exchange import Exchange
from amqpbroker.broker.queues.group_key import group_key
from amqpbroker.broker.queues.ledger import DELIVERY_LIMIT, REJECTED
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.queues.revival import last_death, revived
from amqpbroker.message.message import Message
from amqpbroker.wire.raw_headers import find_header, value_end
from amqpbroker.wire.values import text

#: The reason for which a message is dead-lettered because an earlier one of its group was; RabbitMQ has no such reason.
GROUP: Final = "group"

_LAST_QUEUE: Final = b"x-last-death-queue"
_LAST_REASON: Final = b"x-last-death-reason"
#: Reasons of the letters of a closed group.
LETTER_REASONS: Final = (REJECTED, DELIVERY_LIMIT, GROUP)
_REASONS: Final = (REJECTED.encode(), DELIVERY_LIMIT.encode(), GROUP.encode())


class LetterHeldError(Exception):
    """A client holds a dead letter of a closed group, so that the group cannot be redriven in order."""


def letter_queues(queue: Queue, exchange: Exchange | None, queues: dict[str, Queue]) -> list[LocalQueue]:
    """Return the queues that may have dead letters of a queue: those that its dead letter exchange leads to.

    exchange: its dead letter exchange, None if that does not exist.
    """
    names: dict[str, None] = {}
    if exchange is not None and exchange.name:
        visited: set[str] = set()
        waiting = [exchange]
        while waiting:
            source = waiting.pop()
            if source.name in visited:
                continue
            visited.add(source.name)
            for binding in source.live_bindings():
                destination = binding.destination
                if isinstance(destination, Exchange):
                    waiting.append(destination)
                else:
                    names[destination.name] = None
    elif queue.settings.dead_letter_exchange is None and queue.settings.auto_dead_letter_queue is not None:
        names[queue.settings.auto_dead_letter_queue] = None
    elif queue.settings.dead_letter_routing_key is not None:
        names[text(queue.settings.dead_letter_routing_key)] = None
    found = [queues.get(name) for name in names]
    return [each for each in found if isinstance(each, LocalQueue) and each is not queue]


def is_letter(message: Message, died_in: bytes, name: bytes, key: bytes) -> bool:
    """Return whether a message is a dead letter that stopped a closed group, or followed.

    Letters that did not stop their group, such as expired ones, are none: later messages of the group may have been
    processed since. died_in: name of their queue. name: of the header that has the key.
    """
    if not message.died:
        return False
    properties = message.properties
    if _value(properties, _LAST_QUEUE) != died_in or _value(properties, _LAST_REASON) not in _REASONS:
        return False
    return letter_key(message, name) == key


def _value(properties: bytes, name: bytes) -> bytes:
    """Return a header that is text, empty if there is none."""
    at = find_header(properties, name)
    return properties[at + 5 : value_end(properties, at)] if at else b""


def letter_key(message: Message, name: bytes) -> bytes | None:
    """Return the key that a dead letter had in the queue in which it died, None if it had none.

    name: of the header that has the key, empty for the routing key.
    """
    return group_key(message if name else restored(message), name)


def restored(message: Message) -> Message:
    """Return a dead letter as the message that died; it keeps x-death."""
    death = last_death(message)
    assert death is not None
    return revived(message, death, keep_history=True, restore_expiration=False)
