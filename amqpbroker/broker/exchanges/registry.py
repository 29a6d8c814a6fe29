"""The exchange types by name."""

from collections.abc import Callable, Collection

from amqpbroker import errors
from amqpbroker.broker.exchanges.consistent_hash import ConsistentHashType
from amqpbroker.broker.exchanges.deduplication_type import DeduplicationType
from amqpbroker.broker.exchanges.delayed import DelayedType
from amqpbroker.broker.exchanges.direct import DirectType
from amqpbroker.broker.exchanges.exchange import ExchangeType
from amqpbroker.broker.exchanges.fanout import FanoutType
from amqpbroker.broker.exchanges.headers import HeadersType
from amqpbroker.broker.exchanges.local_random import LocalRandomType
from amqpbroker.broker.exchanges.modulus_hash import ModulusHashType
from amqpbroker.broker.exchanges.random import RandomType
from amqpbroker.broker.exchanges.topic import TopicType
from amqpbroker.clock import Clock
from amqpbroker.compat import Compat
from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.message.message import Message
from amqpbroker.store.store import UNSTORED, Store
from amqpbroker.wire.values import Table, text

#: Exchange types that need only their bindings.
_PLAIN: dict[str, Callable[[], ExchangeType]] = {
    DeduplicationType.name: DeduplicationType,
    DirectType.name: DirectType,
    FanoutType.name: FanoutType,
    HeadersType.name: HeadersType,
    LocalRandomType.name: LocalRandomType,
    ModulusHashType.name: ModulusHashType,
    RandomType.name: RandomType,
    TopicType.name: TopicType,
}

#: Names of all exchange types. Older releases of RabbitMQ have fewer (see `known_exchange_types`).
EXCHANGE_TYPES: tuple[str, ...] = tuple(sorted((*_PLAIN, ConsistentHashType.name, DelayedType.name)))


def known_exchange_types(compat: Compat) -> tuple[str, ...]:
    """Return the exchange types that exchange.declare accepts."""
    unknown = [] if compat.modulus_hash else [ModulusHashType.name]
    if not compat.extensions:
        unknown.append(DeduplicationType.name)
    return tuple([name for name in EXCHANGE_TYPES if name not in unknown])


def build_exchange_type(
    type_name: str,
    arguments: Table,
    clock: Clock,
    release: Callable[[Message], None],
    store: Store = UNSTORED,
    bounds: Bounds = BOUNDS,
    names: Collection[str] = EXCHANGE_TYPES,
    extensions: bool = True,
) -> ExchangeType:
    """Return the type of a new exchange that is declared with these arguments.

    For a type that delays messages, `release` routes a message through the exchange, and `store` stores the messages.
    `names`: the available types. `extensions`: see `held_until_ms`. Raises AmqpError 406 for an unknown type and for
    arguments that the type refuses.
    """
    if type_name not in names:
        raise unknown_exchange_type(type_name)
    plain = _PLAIN.get(type_name)
    if plain is not None:
        return plain()
    if type_name == ConsistentHashType.name:
        return ConsistentHashType(arguments)
    if type_name == DelayedType.name:
        inner_name = _delayed_type(arguments)
        inner = build_exchange_type(inner_name, arguments, clock, release, names=names)
        return DelayedType(inner, clock, release, store, bounds, extensions)
    raise unknown_exchange_type(type_name)


def missing_exchange_type(type_name: str, arguments: Table, names: Collection[str]) -> str | None:
    """Return the type, or the x-delayed-type in the arguments, if it is not among `names`, otherwise None."""
    if type_name not in names:
        return type_name
    field = arguments.get("x-delayed-type") if type_name == DelayedType.name else None
    if field is None or field.kind not in "Sx" or text(field.value) in names:
        return None
    return text(field.value)


def unknown_exchange_type(type_name: str) -> errors.AmqpError:
    """Return the error for an unknown exchange type.

    RabbitMQ says `unknown` if its Erlang has no atom of that name (rabbit_exchange:check_type), and otherwise
    `invalid`. Hardly any name with a hyphen, a capital letter or a letter outside ASCII is an atom there.
    """
    if "-" in type_name or type_name != type_name.lower() or not type_name.isascii():
        return errors.unknown_exchange_type(type_name)
    return errors.invalid_exchange_type(type_name)


def _delayed_type(arguments: Table) -> str:
    field = arguments.get("x-delayed-type")
    if field is None or field.kind not in "Sx":
        raise errors.delayed_type_missing()
    name = text(field.value)
    if name == DelayedType.name:
        raise errors.delayed_type_delayed()
    if name == DeduplicationType.name:
        raise errors.delayed_type_deduplicating()
    return name
