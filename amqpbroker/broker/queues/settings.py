"""What a queue works by: its arguments and policy as plain attributes.

A changed policy makes new settings (`queue_settings`), which replace the queue's old ones whole.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, final

from amqpbroker import errors
from amqpbroker.broker.policies.policy_keys import finite
from amqpbroker.broker.publishing.ttl import MAX_EXPIRY_MS
from amqpbroker.broker.queues.arguments import (
    DEAD_LETTER_EXCHANGE,
    check_queue_arguments,
    queue_module,
    queue_type_of,
    with_queue_type,
)
from amqpbroker.broker.queues.retry_delay import RetryDelay, retry_delay
from amqpbroker.compat import Compat, Permission
from amqpbroker.wire.values import INTEGER_KINDS, TYPE_NAMES, Field, Table, text

#: How often a quorum queue takes a message back before it drops it, if nothing else is said (RabbitMQ 4.0).
DEFAULT_DELIVERY_LIMIT = 20

ALTERNATE_EXCHANGE = "alternate-exchange"


@final
@dataclass(frozen=True, slots=True)
class QueueSettings:
    """Settings of a queue. Numbers are -1 for none, except `max_priority`: 0 for no priorities, else 1 to 255.

    queue_type: "classic" or "quorum". overflow: "drop-head", "reject-publish" or "reject-publish-dlx".
    dead_letter_exchange: None for no dead-lettering; "" is the default exchange. dead_letter_routing_key: None to keep
    the message's own keys. dead_letter_strategy: "at-most-once" or "at-least-once". delivery_limit and
    dead_letter_strategy are for quorum queues. retry: delay of returned messages, None for no delay; ignored
    for releases of RabbitMQ without delayed retries. plain: there is neither a message TTL nor a length limit.
    """

    queue_type: str = "classic"
    max_priority: int = 0
    message_ttl_ms: int = -1
    expires_ms: int = -1
    max_length: int = -1
    max_length_bytes: int = -1
    overflow: str = "drop-head"
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: bytes | None = None
    dead_letter_strategy: str = "at-most-once"
    single_active_consumer: bool = False
    delivery_limit: int = -1
    consumer_timeout_ms: int = -1
    retry: RetryDelay | None = None
    plain: bool = field(init=False)

    def __post_init__(self) -> None:
        plain = self.message_ttl_ms < 0 and self.max_length < 0 and self.max_length_bytes < 0
        object.__setattr__(self, "plain", plain)


#: Policy keys whose value is a time. RabbitMQ takes any there, and means no more than it takes from arguments.
_TIMES = ("expires", "message-ttl", "consumer-timeout")

#: Policy and argument -> the value that counts when there are both.
_Merge = Callable[[Any, Any], Any]


def _smaller(policy: int, argument: int) -> int:
    return min(policy, argument)


def _argument(policy: object, argument: object) -> object:
    return argument


def _policy(policy: object, argument: object) -> object:
    return policy


class _Source(NamedTuple):
    """Where a setting comes from: the policy key, which with "x-" before it is the argument.

    classic, quorum: how these queue types merge the two; None if they do not have the setting.
    """

    setting: str
    key: str
    type: type[int] | type[str] | type[bytes]
    classic: _Merge | None
    quorum: _Merge | None


#: rabbit_amqqueue_process:process_args_policy/1, rabbit_quorum_queue:gather_policy_config/2, and for the consumer
#: timeout rabbit_channel:get_queue_consumer_timeout/2.
_SOURCES = (
    _Source("expires_ms", "expires", int, _smaller, _smaller),
    _Source("message_ttl_ms", "message-ttl", int, _smaller, _smaller),
    _Source("max_length", "max-length", int, _smaller, _smaller),
    _Source("max_length_bytes", "max-length-bytes", int, _smaller, _smaller),
    _Source("overflow", "overflow", str, _argument, _policy),
    _Source("dead_letter_exchange", "dead-letter-exchange", str, _argument, _argument),
    _Source("dead_letter_routing_key", "dead-letter-routing-key", bytes, _argument, _argument),
    _Source("dead_letter_strategy", "dead-letter-strategy", str, None, _argument),
    _Source("delivery_limit", "delivery-limit", int, None, finite),
    _Source("consumer_timeout_ms", "consumer-timeout", int, _smaller, _smaller),
    _Source("retry_type", "delayed-retry-type", str, None, _policy),
    _Source("retry_min_ms", "delayed-retry-min", int, None, _smaller),
    _Source("retry_max_ms", "delayed-retry-max", int, None, _smaller),
)

_NO_POLICY: Mapping[str, Any] = MappingProxyType({})


def queue_settings(queue_type: str, arguments: Table, policy: Mapping[str, Any] = _NO_POLICY) -> QueueSettings:
    """The settings of a queue with these (valid) arguments under this (valid) policy definition."""
    values: dict[str, Any] = {}
    for source in _SOURCES:
        merge = source.quorum if queue_type == "quorum" else source.classic
        if merge is None:
            continue
        argument = _argument_value(arguments.get(f"x-{source.key}"), source.type)
        value: int | str | bytes | None = policy.get(source.key)
        if isinstance(value, str) and source.type is bytes:
            value = value.encode()
        elif isinstance(value, int) and source.key in _TIMES:
            value = min(value, MAX_EXPIRY_MS)
        if value is None:
            value = argument
        elif argument is not None:
            value = merge(value, argument)
        if value is not None:
            values[source.setting] = value
    active = arguments.get("x-single-active-consumer")
    values["single_active_consumer"] = active is not None and active.value is True
    if queue_type == "quorum":
        _settle_quorum(values)
    elif "x-max-priority" in arguments:
        values["max_priority"] = max(1, arguments["x-max-priority"].value)
    return QueueSettings(queue_type, **values)


def _argument_value(given: Field | None, kind: type[int] | type[str] | type[bytes]) -> int | str | bytes | None:
    """The argument's value; None if it is absent, or of a type that makes it void (few are not validated)."""
    if given is None or (given.kind not in INTEGER_KINDS if kind is int else given.kind != "S"):
        return None
    value: int | bytes = given.value
    return text(value) if kind is str and isinstance(value, bytes) else value


def _settle_quorum(values: dict[str, Any]) -> None:
    """What quorum queues cannot do falls back to what they can (rabbit_quorum_queue: overflow/3, dlh/5)."""
    values.setdefault("delivery_limit", DEFAULT_DELIVERY_LIMIT)
    retry = [values.pop(name, None) for name in ("retry_type", "retry_min_ms", "retry_max_ms")]
    values["retry"] = retry_delay(*retry)
    if values.get("overflow") == "reject-publish-dlx":
        values["overflow"] = "drop-head"
    if values.get("overflow") != "reject-publish" or "dead_letter_exchange" not in values:
        values["dead_letter_strategy"] = "at-most-once"


def _nothing() -> None:
    pass


def parse_queue_settings(
    name: str,
    vhost: str,
    *,
    durable: bool,
    exclusive: bool,
    auto_delete: bool,
    arguments: Table,
    default_queue_type: str = "classic",
    server_named: bool = False,
    compat: Compat | None = None,
    check_limits: Callable[[], None] = _nothing,
) -> QueueSettings:
    """Return the settings of a new queue. Raises AmqpError 406 for an invalid declaration, 540 for a stream.

    Checks in RabbitMQ's order: type of the dead letter exchange (rabbit_channel), queue type, values, arguments of
    other types (rabbit_amqqueue:declare/7), properties (rabbit_quorum_queue:declare/2). server_named: the client gave
    no name, which only classic queues may do. compat: raises AmqpError 541 for a deprecated feature that is denied, and
    determines the supported arguments; None for an existing queue.
    check_limits: called before the properties are checked.
    """
    arguments = with_queue_type(
        arguments,
        durable=durable,
        exclusive=exclusive,
        auto_delete=auto_delete,
        default_queue_type=default_queue_type,
    )
    _exchange_argument(DEAD_LETTER_EXCHANGE, "queue", name, vhost, arguments)
    queue_type = queue_type_of(name, vhost, arguments, default_queue_type)
    if server_named and queue_type != "classic":
        raise errors.server_named_queue_refused(queue_module(queue_type))
    check_queue_arguments(name, vhost, queue_type, arguments, compat is not None and compat.arguments_of_4_3)
    if compat is not None and not durable and not exclusive:
        check_transient(compat)
    check_limits()
    if compat is not None and queue_type == "classic" and "x-queue-master-locator" in arguments:
        _check_permitted("queue_master_locator", compat.queue_master_locator)
    if queue_type != "classic":
        for prop, wrong in (("auto-delete", auto_delete), ("exclusive-owner", exclusive), ("non-durable", not durable)):
            if wrong:
                raise errors.invalid_queue_property(prop, name, vhost)
    if queue_type == "stream":
        raise errors.streams_not_implemented(name, vhost)
    return queue_settings(queue_type, arguments)


def check_transient(compat: Compat) -> None:
    """Raises AmqpError 541 if a queue must not be transient unless it is exclusive."""
    _check_permitted("transient_nonexcl_queues", compat.transient_nonexcl_queues)


def _check_permitted(feature: str, permission: Permission) -> None:
    if permission is not Permission.PERMITTED:
        raise errors.deprecated_feature_denied(feature, permission is Permission.OVERRIDDEN)


def alternate_exchange(name: str, vhost: str, arguments: Table) -> str | None:
    """The alternate exchange that exchange.declare names, if any. Raises AmqpError 406 if it is no string."""
    return _exchange_argument(ALTERNATE_EXCHANGE, "exchange", name, vhost, arguments)


def _exchange_argument(argument: str, kind: str, name: str, vhost: str, arguments: Table) -> str | None:
    """An argument that names an exchange (rabbit_misc:r_arg/4)."""
    given = arguments.get(argument)
    if given is None:
        return None
    if given.kind != "S":
        raise errors.invalid_argument_type(argument, kind, name, vhost, TYPE_NAMES[given.kind])
    return text(given.value)
