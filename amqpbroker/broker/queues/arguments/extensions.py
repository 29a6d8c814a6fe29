"""Arguments of queues and consumers that are extensions: RabbitMQ does not have them, or not for every kind of queue.

Each feature has a tuple of its arguments: rows of its own, and names of rows of `arguments`. The setting `extensions`
makes kinds of queues support them.
"""

import math
from typing import Final

from amqpbroker.broker.deduplication.options import CHECKS
from amqpbroker.broker.policies.policy_keys import PolicyKey, is_integer, is_number, is_one_of, operators
from amqpbroker.broker.publishing.choices import MAX_NAME_BYTES, choice, header_name
from amqpbroker.broker.queues.arguments.arguments import (
    NO_CONSUME,
    Argument,
    Setting,
    boolean,
    number,
    smaller,
    timeout_action,
    timeout_renew,
)
from amqpbroker.broker.queues.arguments.lock_arguments import ACTIONS, RENEWALS
from amqpbroker.broker.queues.arguments.settings import ANY, HEAD
from amqpbroker.broker.queues.groups.options import CHECKS as GROUP_CHECKS
from amqpbroker.broker.queues.groups.options import (
    HEADER,
    MAX_PREFETCH,
    ON_DEAD,
    ON_DEAD_VALUES,
    PREFETCH,
    QPID_HEADER,
    QPID_SHARED,
    TYPE,
    TYPES,
    VERSION_HEADER,
    VERSION_TTL,
)
from amqpbroker.broker.queues.last_value.options import CHECKS as LAST_VALUE_CHECKS


def is_header_name(value: object) -> bool:
    """Return whether a value of a policy is the name of a header."""
    return isinstance(value, str) and 0 < len(value.encode()) <= MAX_NAME_BYTES


# fmt: off
#: Redelivery after a delay.
RETRY: Final[tuple[str | Argument, ...]] = (
    "x-delayed-retry-type",
    "x-delayed-retry-min",
    "x-delayed-retry-max",
    Argument("x-delayed-retry-multiplier", None, Setting("retry_multiplier", float, smaller),
             PolicyKey(is_number(1, math.inf), "delayed retry multiplier. Must be a number from 1 on", min,
                       extension=True),
             stricter_check=number(1, math.inf, "a number from 1 on")),
    Argument("x-delayed-retry-jitter", None, Setting("retry_jitter", float, smaller),
             PolicyKey(is_number(0, 1), "delayed retry jitter. Must be a number from 0 to 1", min, extension=True),
             stricter_check=number(0, 1, "a number from 0 to 1")),
)
# fmt: on

#: Number of deliveries after which a message is a dead letter.
DELIVERY_LIMIT: Final[tuple[str | Argument, ...]] = ("x-delivery-limit",)

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
            extension=True,
        ),
    ),
)

#: Duplicates of messages. The arguments cannot change, because ids are remembered when their messages are accepted.
DEDUPLICATION: Final[tuple[str | Argument, ...]] = tuple(
    [Argument(name, check, fixed=True) for name, check in CHECKS.items()]
)

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
LAST_VALUE: Final[tuple[str | Argument, ...]] = tuple(
    [Argument(name, check, fixed=True) for name, check in LAST_VALUE_CHECKS.items()]
)

#: Messages that are delivered from a point in time on.
DELIVERY_TIME: Final[tuple[str | Argument, ...]] = (
    Argument(
        "x-delivery-time-header",
        header_name,
        Setting("delivery_time_header", bytes),
        PolicyKey(is_header_name, "name of a header", operators, extension=True),
    ),
)

#: Batches of messages.
BATCHES: Final[tuple[str | Argument, ...]] = (
    Argument("x-batch-ignore-rejects", boolean, Setting("ignores_rejects", bool)),
)

#: Messages that are processed in order.
GROUPS: Final[tuple[str | Argument, ...]] = (
    *[Argument(name, GROUP_CHECKS[name], fixed=True) for name in (HEADER, QPID_HEADER, QPID_SHARED)],
    Argument(
        TYPE,
        GROUP_CHECKS[TYPE],
        Setting("group_type", str),
        PolicyKey(is_one_of(*TYPES), f"group type. Must be one of: {', '.join(TYPES)}", operators, extension=True),
    ),
    Argument(
        PREFETCH,
        GROUP_CHECKS[PREFETCH],
        Setting("group_prefetch", int, smaller),
        PolicyKey(
            is_integer(1, MAX_PREFETCH),
            f"group prefetch. Must be an integer from 1 to {MAX_PREFETCH}",
            min,
            extension=True,
        ),
    ),
    Argument(
        ON_DEAD,
        GROUP_CHECKS[ON_DEAD],
        Setting("group_on_dead", str),
        PolicyKey(
            is_one_of(*ON_DEAD_VALUES),
            f"effect of a dead message on its group. Must be one of: {', '.join(ON_DEAD_VALUES)}",
            operators,
            extension=True,
        ),
    ),
    Argument(VERSION_HEADER, GROUP_CHECKS[VERSION_HEADER], Setting("group_version_header", bytes), fixed=True),
    Argument(
        VERSION_TTL,
        GROUP_CHECKS[VERSION_TTL],
        Setting("group_version_ttl_ms", int, smaller, time=True),
        PolicyKey(is_integer(1), "group version TTL. Must be a positive integer", min, extension=True),
    ),
)

_OF_ALL = (*RETRY, *DELIVERY_LIMIT, *LOCK, *DEDUPLICATION, *EXPIRY, *LAST_VALUE, *DELIVERY_TIME, *BATCHES, *GROUPS)

OF_CLASSIC: Final = _OF_ALL
OF_QUORUM: Final = _OF_ALL

#: Arguments of basic.consume.
OF_CONSUMERS: Final[tuple[str, ...]] = (
    "x-consumer-timeout",
    "x-consumer-timeout-action",
    "x-consumer-timeout-renew",
    NO_CONSUME,
)
