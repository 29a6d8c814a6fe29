"""Arguments of queues and consumers that are extensions: RabbitMQ does not have them, or not for every kind of queue.

Each feature has a tuple of its arguments: rows of its own, and names of rows of `arguments`. The setting `extensions`
makes kinds of queues support them.
"""

from typing import Final

from amqpbroker.broker.policies.policy_keys import PolicyKey, is_one_of, operators
from amqpbroker.broker.queues.arguments import Argument, Setting
from amqpbroker.broker.queues.choices import choice
from amqpbroker.broker.queues.settings import ANY, HEAD

#: Redelivery after a delay.
RETRY: Final[tuple[str | Argument, ...]] = ()

#: Number of deliveries after which a message is a dead letter.
DELIVERY_LIMIT: Final[tuple[str | Argument, ...]] = ()

#: Timeout of acknowledgements.
LOCK: Final[tuple[str | Argument, ...]] = ()

#: Duplicates of messages.
DEDUPLICATION: Final[tuple[str | Argument, ...]] = ()

#: Expiry of messages behind the head of a queue.
EXPIRY: Final[tuple[str | Argument, ...]] = (
    Argument(
        "x-message-ttl-mode",
        choice(HEAD, ANY),
        Setting("message_ttl_mode", str),
        PolicyKey(is_one_of(HEAD, ANY), f"message TTL mode. Must be one of: {HEAD}, {ANY}", operators, extension=True),
    ),
)

#: Messages that replace earlier ones.
LAST_VALUE: Final[tuple[str | Argument, ...]] = ()

#: Messages that are delivered from a point in time on.
DELIVERY_TIME: Final[tuple[str | Argument, ...]] = ()

#: A declaration of an existing queue with other values.
REDECLARATION: Final[tuple[str | Argument, ...]] = ()

_OF_ALL = (*RETRY, *DELIVERY_LIMIT, *LOCK, *DEDUPLICATION, *EXPIRY, *LAST_VALUE, *DELIVERY_TIME, *REDECLARATION)

OF_CLASSIC: Final = _OF_ALL
OF_QUORUM: Final = _OF_ALL

#: Arguments of basic.consume.
OF_CONSUMERS: Final[tuple[str, ...]] = ()
