"""Arguments of queues and consumers that are extensions: RabbitMQ does not have them, or not for every kind of queue.

Each feature has a tuple of its arguments: rows of its own, and names of rows of `arguments`. The setting `extensions`
makes kinds of queues support them.
"""

from typing import Final

from amqpbroker.broker.policies.policy_keys import PolicyKey, is_one_of
from amqpbroker.broker.queues.arguments import Argument, Setting, timeout_action, timeout_renew
from amqpbroker.broker.queues.lock_arguments import ACTIONS, RENEWALS

#: Redelivery after a delay.
RETRY: Final[tuple[str | Argument, ...]] = ()

#: Number of deliveries after which a message is a dead letter.
DELIVERY_LIMIT: Final[tuple[str | Argument, ...]] = ()

#: Timeout of acknowledgements.
LOCK: Final[tuple[str | Argument, ...]] = (
    "x-consumer-timeout",
    Argument(
        "x-consumer-timeout-action",
        timeout_action,
        Setting("consumer_timeout_action", str),
        PolicyKey(
            is_one_of(*ACTIONS),
            f"consumer timeout action. Must be one of: {', '.join(ACTIONS)}",
            of_all=True,
            extension=True,
        ),
    ),
    Argument(
        "x-consumer-timeout-renew",
        timeout_renew,
        Setting("consumer_timeout_renew", str),
        PolicyKey(
            is_one_of(*RENEWALS),
            f"consumer timeout renewal. Must be one of: {', '.join(RENEWALS)}",
            of_all=True,
            extension=True,
        ),
    ),
)

#: Duplicates of messages.
DEDUPLICATION: Final[tuple[str | Argument, ...]] = ()

#: Expiry of messages behind the head of a queue.
EXPIRY: Final[tuple[str | Argument, ...]] = ()

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
OF_CONSUMERS: Final[tuple[str, ...]] = (
    "x-consumer-timeout",
    "x-consumer-timeout-action",
    "x-consumer-timeout-renew",
)
