"""Declarations of queues: validation, and the settings that result."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from amqpbroker import errors
from amqpbroker.broker.deduplication.options import DEDUPLICATION, is_on, options
from amqpbroker.broker.exchanges.exchange import exchange_argument
from amqpbroker.broker.publishing.publish_checks import MAX_EXPIRY_MS
from amqpbroker.broker.queues.arguments.arguments import ARGUMENTS, DEAD_LETTER_EXCHANGE, QUEUE_TYPE, with_queue_type
from amqpbroker.broker.queues.arguments.retry_delay import DISABLED, TYPES
from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.groups.options import HEADER as GROUP_HEADER
from amqpbroker.broker.queues.groups.options import SETTINGS as GROUP_SETTINGS
from amqpbroker.broker.queues.groups.options import SKIP, grouping
from amqpbroker.broker.queues.kind import Kind
from amqpbroker.broker.queues.kinds import KINDS, known_arguments, known_consumer_arguments
from amqpbroker.broker.queues.last_value.options import KEY as LAST_VALUE_KEY
from amqpbroker.broker.queues.last_value.options import last_value
from amqpbroker.compat import DEFAULT_COMPAT, OLDEST_COMPAT, Compat, Permission
from amqpbroker.wire.erlang import erlang_characters, erlang_string
from amqpbroker.wire.values import TYPE_NAMES, Table, longstr, text

#: Start of the names of the arguments of a delayed retry, and those that it needs, with their values.
_RETRY: Final = "x-delayed-retry-"
_RETRY_NEEDS: Final = {"type": ", ".join(TYPES[:-1]) + f" or {TYPES[-1]}", "min": "the delay in milliseconds"}

#: Arguments of consumers that only extensions have, and that need acknowledgements.
_OF_LOCKS: Final = ("x-consumer-timeout-action", "x-consumer-timeout-renew")

_NO_POLICY: Mapping[str, Any] = MappingProxyType({})


class Declaration(NamedTuple):
    """A valid declaration of a queue. arguments: with a queue type, as they are stored and shown."""

    kind: Kind
    arguments: Table
    settings: QueueSettings


def queue_settings(
    kind: Kind, arguments: Table, policy: Mapping[str, Any] = _NO_POLICY, compat: Compat = DEFAULT_COMPAT
) -> QueueSettings:
    """Return the settings of a queue with these (valid) arguments under this (valid) policy definition."""
    values: dict[str, Any] = {}
    known = kind.arguments_in(compat)
    for row in {**ARGUMENTS, **known}.values():
        setting = row.setting
        if setting is None or not (setting.of_all or row.name in known):
            continue
        argument = setting.value(arguments.get(row.name))
        value: Any = policy.get(row.key)
        if isinstance(value, str) and setting.type is bytes:
            value = value.encode()
        elif isinstance(value, int) and setting.time:
            value = min(value, MAX_EXPIRY_MS)
        if value is None:
            value = argument
        elif argument is not None:
            value = kind.merges.get(row.name, setting.merge)(value, argument)
        if value is not None:
            values[setting.name] = value
    if DEDUPLICATION in known and is_on(arguments):
        values["deduplication"] = options(arguments)
    if LAST_VALUE_KEY in known:
        values["last_value"] = last_value(arguments)
    _complete_groups(arguments if GROUP_HEADER in known else {}, values)
    kind.complete(values)
    return QueueSettings(**values)


def _complete_groups(arguments: Table, values: dict[str, Any]) -> None:
    groups = grouping(arguments, values)
    for name in GROUP_SETTINGS:
        values.pop(name, None)
    if groups is None:
        return
    values["groups"] = groups
    if groups.on_dead != SKIP and ("max_length" in values or "max_length_bytes" in values):
        # A policy may set one, and an argument the other.
        values["overflow"] = "reject-publish"


def _kind_of(name: str, vhost: str, arguments: Table, default_queue_type: str) -> Kind:
    """Return the kind that `arguments` (with a queue type) select. Raises AmqpError 406 if there is no such kind."""
    given = arguments[QUEUE_TYPE]
    if given == longstr("undefined"):
        return KINDS[default_queue_type]
    if given.kind != "S":
        problem = f"{{unacceptable_type,{TYPE_NAMES[given.kind]}}}"
    else:
        kind = KINDS.get(text(given.value))
        if kind is not None:
            return kind
        problem = erlang_string(f"unsupported queue type '{erlang_characters(given.value)}'")
    raise errors.invalid_queue_argument(QUEUE_TYPE, name, vhost, problem)


def check_arguments(name: str, vhost: str, kind: Kind, arguments: Table, compat: Compat) -> None:
    """Raise AmqpError 406 for a value that is not allowed, then for an argument that only other kinds know."""
    _check_values(name, vhost, kind, arguments, compat)
    own = kind.arguments_in(compat)
    others = [argument for argument in arguments if argument not in own]
    known = known_arguments(compat) if others else {}
    for argument in others:
        if argument in known and not known[argument].tolerates(compat):
            raise errors.argument_not_of_queue_type(argument, name, vhost, kind.module)


def _check_values(name: str, vhost: str, kind: Kind, arguments: Table, compat: Compat) -> None:
    found = kind.argument_problem(arguments, compat)
    if found is not None:
        raise errors.invalid_queue_argument(found[0], name, vhost, found[1])


def check_consumer_arguments(
    name: str, vhost: str, kind: Kind, arguments: Table, compat: Compat, no_ack: bool = False
) -> None:
    """Check the arguments of basic.consume in the same way (rabbit_amqqueue:check_consume_arguments/2).

    A consumer with `no_ack` holds no messages, so arguments of locks that only extensions have are refused.
    """
    if not arguments:
        return
    found = kind.consumer_argument_problem(arguments, compat)
    if found is not None:
        raise errors.invalid_queue_argument(found[0], name, vhost, found[1])
    own, known = kind.consumer_arguments_in(compat), known_consumer_arguments(compat)
    for argument in _OF_LOCKS:
        if no_ack and argument in arguments and argument in own:
            problem = erlang_string("a consumer with no_ack has no locks: consume with acknowledgements")
            raise errors.invalid_queue_argument(argument, name, vhost, problem)
    for argument in arguments:
        if argument in known and argument not in own:
            raise errors.argument_not_of_queue_type(argument, name, vhost, kind.module)


def check_retry(name: str, vhost: str, arguments: Table, policy: Mapping[str, Any]) -> None:
    """Raise AmqpError 406 for arguments of a delayed retry that would have no effect.

    A retry needs a type and a minimum, each from the arguments or from the policy, which is the definition in force.
    """
    given = [each for each in arguments if each.startswith(_RETRY)]
    if not given or arguments.get(f"{_RETRY}type") == longstr(DISABLED):
        return
    for part, expected in _RETRY_NEEDS.items():
        argument = _RETRY + part
        if argument not in arguments and argument.removeprefix("x-") not in policy:
            problem = erlang_string(f"{argument} is missing, and no policy sets it: {expected}")
            raise errors.invalid_queue_argument(given[0], name, vhost, problem)


def _nothing() -> None:
    pass


def parse_declaration(
    name: str,
    vhost: str,
    *,
    durable: bool,
    exclusive: bool,
    auto_delete: bool,
    arguments: Table,
    default_queue_type: str = "classic",
    server_named: bool = False,
    compat: Compat = DEFAULT_COMPAT,
    existing: bool = False,
    check_limits: Callable[[], None] = _nothing,
) -> Declaration:
    """Return the declaration of a new queue. Raises AmqpError 406 for an invalid declaration.

    Checks are in RabbitMQ's order: type of the dead letter exchange (rabbit_channel), queue type, values, arguments of
    other types (rabbit_amqqueue:declare/7), properties (rabbit_quorum_queue:declare/2). server_named: the client gave
    no name, which is allowed for classic queues only. compat: determines the supported arguments; raises AmqpError 541
    for a deprecated feature that is denied. existing: a stored declaration of a queue, which may have been accepted
    with another `compat`: arguments that are not supported now have no effect. check_limits: called before the
    properties are checked.
    """
    arguments = with_queue_type(
        arguments,
        durable=durable,
        exclusive=exclusive,
        auto_delete=auto_delete,
        default_queue_type=default_queue_type,
    )
    exchange_argument(DEAD_LETTER_EXCHANGE, "queue", name, vhost, arguments)
    kind = _kind_of(name, vhost, arguments, default_queue_type)
    if server_named and kind.durable_only:
        raise errors.server_named_queue_refused(kind.module)
    if existing:
        _check_values(name, vhost, kind, arguments, OLDEST_COMPAT)
    else:
        check_arguments(name, vhost, kind, arguments, compat)
        if not durable and not exclusive:
            check_transient(compat)
    check_limits()
    if not existing and "x-queue-master-locator" in arguments:
        _check_permitted("queue_master_locator", compat.queue_master_locator)
    if kind.durable_only:
        for prop, wrong in (("auto-delete", auto_delete), ("exclusive-owner", exclusive), ("non-durable", not durable)):
            if wrong:
                raise errors.invalid_queue_property(prop, name, vhost)
    problem = None if existing else kind.declaration_problem(arguments, compat)
    if problem is not None:
        raise errors.precondition_failed(problem)
    return Declaration(kind, arguments, queue_settings(kind, arguments, compat=compat))


def check_transient(compat: Compat) -> None:
    """Raise AmqpError 541 if transient queues are only allowed to be exclusive."""
    _check_permitted("transient_nonexcl_queues", compat.transient_nonexcl_queues)


def _check_permitted(feature: str, permission: Permission) -> None:
    if permission is not Permission.PERMITTED:
        raise errors.deprecated_feature_denied(feature, permission is Permission.OVERRIDDEN)
