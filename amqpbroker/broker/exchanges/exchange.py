"""Exchanges, their bindings and arguments, and the interface of exchange types."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import ClassVar, Final, Union

from amqpbroker import errors
from amqpbroker.broker.counters.stats import EXCHANGE_COUNTERS, ExchangeCounters, MessageStats, Sample, message_stats
from amqpbroker.broker.exchanges.destination import BindingDestination, Destination
from amqpbroker.broker.exchanges.key_index import KeyIndex
from amqpbroker.broker.policies.policies import NO_POLICY, Effective, Policy
from amqpbroker.compat import DEFAULT_COMPAT, Compat
from amqpbroker.message.message import Message
from amqpbroker.store.message_id_record import MessageIdRecord
from amqpbroker.store.store import Holder
from amqpbroker.wire.values import TYPE_NAMES, Table, text

ALTERNATE_EXCHANGE: Final = "alternate-exchange"

#: The next hop of a message.
Target = Union["Exchange", Destination]
#: The destination of a binding.
Bindable = Union["Exchange", BindingDestination]
#: Identity of a binding among those of its source: whether the destination is an exchange, its name, key, sorted
#: arguments.
BindingIdentity = tuple[bool, str, bytes, bytes]


class Binding:
    """A binding from an exchange to a queue or exchange.

    Equal bindings (source, destination, key, arguments) exist once.
    """

    __slots__ = ("arguments", "destination", "routing_key", "source")

    def __init__(self, source: "Exchange", destination: Bindable, routing_key: bytes, arguments: Table) -> None:
        self.source = source
        self.destination = destination
        self.routing_key = routing_key
        self.arguments = arguments

    @property
    def lives(self) -> bool:
        """Return whether source and destination exist. If not, the binding is only waiting to be removed."""
        return not (self.source.closed or self.destination.closed)


class ExchangeType(ABC):
    """Routing of one exchange. Each exchange has its own instance, which keeps the index of bindings that it needs.

    `keyed`: the route depends only on the routing key, so that it may be cached until bindings change.
    `per_key`: each of the message's routing keys is looked up; otherwise `route` is called only for the first.
    `held`: the holder of delayed messages, None for a type that does not delay messages. `picks`: the type picks one
    binding for each message, so bindings of deleted destinations must be unbound at once. `index`: finds what `route`
    does, None for a type that needs more than the key.
    """

    name: ClassVar[str]
    keyed: bool = True
    per_key: bool = True
    picks: bool = False
    held: Holder | None = None
    index: KeyIndex | None = None

    def validate_binding(  # noqa: B027 - most types accept any
        self, routing_key: bytes, arguments: Table, compat: Compat = DEFAULT_COMPAT
    ) -> None:
        """Raise AmqpError if a binding with this key and these arguments is invalid for the type."""

    @abstractmethod
    def bind(self, binding: Binding) -> None:
        """Add a binding to the index. It is not in the index yet."""

    @abstractmethod
    def unbind(self, binding: Binding) -> None:
        """Remove a binding that `bind` has added."""

    def unbind_all(self, bindings: list[Binding]) -> None:
        """Call `unbind` for each binding."""
        for binding in bindings:
            self.unbind(binding)

    @abstractmethod
    def route(self, routing_key: bytes, message: Message) -> list[Target]:
        """Return the targets of a message for one of its routing keys. An exchange or queue may occur more than once.

        Only types that are not `keyed` may read the message. The list may belong to the type, so callers must not
        change it.
        """

    @abstractmethod
    def close(self) -> None:
        """Discard all bindings and held messages, because the exchange is deleted.

        Bindings refer to their exchange: without this call, only the garbage collector could free the exchange.
        """


class DuplicateFilter(ABC):
    """Drops duplicates of the messages that are published to one exchange.

    id: of the exchange in the store, 0 if it is not durable. dropped: number of duplicates.
    """

    id: int = 0
    dropped: int = 0

    @abstractmethod
    def guard(
        self, exchange: "Exchange", message: Message, destinations: tuple[Destination, ...], counted: bool = True
    ) -> tuple[Destination, ...]:
        """Return the destination that publishes the message once to the given ones.

        If the message has no id, or nothing to go to, the given destinations are returned. counted: the caller counts
        one destination as published to.
        """

    @abstractmethod
    def close(self) -> None:
        """Forget all ids, because the exchange is deleted."""

    @abstractmethod
    def discard(self) -> None:
        """Discard all ids from memory, without changing the store, after the broker has ended."""

    @abstractmethod
    def recover_ids(self, ids: list[MessageIdRecord]) -> list[MessageIdRecord]:
        """See `IdKeeper`."""

    @abstractmethod
    def stored_count(self) -> int:
        """See `IdKeeper`."""


class Exchange:
    """An exchange of a vhost.

    bindings: those with this exchange as source. incoming: those with this exchange as destination. alternate: name of
    the alternate exchange. effective: the policies in force. outlets: publishes of the present channels to this
    exchange. duplicate_filter: drops duplicates, None if the exchange accepts them. closed: the exchange is deleted.
    lingering: number of bindings that do not live and are still to be removed.
    """

    __slots__ = (
        "_published_in",
        "_published_out",
        "alternate",
        "arguments",
        "auto_delete",
        "bindings",
        "closed",
        "duplicate_filter",
        "durable",
        "effective",
        "incoming",
        "internal",
        "lingering",
        "name",
        "outlets",
        "sample",
        "type",
    )
    counter_names: ClassVar[tuple[str, ...]] = EXCHANGE_COUNTERS

    def __init__(
        self,
        name: str,
        type: ExchangeType,  # noqa: A002 - AMQP's word
        durable: bool = False,
        auto_delete: bool = False,
        internal: bool = False,
        arguments: Table | None = None,
        alternate: str | None = None,
    ) -> None:
        self.sample: Sample | None = None
        self.name = name
        self.type = type
        self.durable = durable
        self.auto_delete = auto_delete
        self.internal = internal
        self.arguments: Table = arguments or {}
        self.alternate = alternate
        self.bindings: dict[BindingIdentity, Binding] = {}
        self.incoming: dict[Binding, None] = {}
        self.duplicate_filter: DuplicateFilter | None = None
        self.closed: bool = False
        self.lingering: int = 0
        self.effective: Effective = NO_POLICY
        self.outlets: dict[ExchangeCounters, None] = {}
        self._published_in: int = 0
        self._published_out: int = 0

    @property
    def policy(self) -> Policy | None:
        """The policy in force."""
        return self.effective.policy

    @property
    def operator_policy(self) -> Policy | None:
        """The operator policy in force."""
        return self.effective.operator_policy

    def close(self) -> None:
        """Break reference cycles, because the exchange is deleted."""
        self.closed = True
        self.type.close()
        if self.duplicate_filter is not None:
            self.duplicate_filter.close()
        self.bindings.clear()
        self.incoming.clear()

    @property
    def binding_count(self) -> int:
        """Return the number of bindings that live (see `Binding.lives`)."""
        return len(self.bindings) - self.lingering

    def live_bindings(self) -> Iterable[Binding]:
        """Iterate over the bindings that live (see `Binding.lives`)."""
        bindings = self.bindings.values()
        return [binding for binding in bindings if binding.lives] if self.lingering else bindings

    def count_published(self, destinations: int) -> None:
        """Count a message that was published here without an outlet, and that went to this number of destinations."""
        self._published_in += 1
        self._published_out += destinations

    def correct_published(self, destinations: int) -> None:
        """Add to the number of destinations of a message that was counted with another number."""
        self._published_out += destinations

    def add_up(self, outlet: ExchangeCounters) -> None:
        """Add the counts of an outlet that is no longer used."""
        del self.outlets[outlet]
        self._published_in += outlet.single + outlet.other
        self._published_out += outlet.single + outlet.other_out

    def counters(self) -> tuple[int, ...]:
        came, went = self._published_in, self._published_out
        for outlet in self.outlets:
            came += outlet.single + outlet.other
            went += outlet.single + outlet.other_out
        return came, went

    def message_stats(self) -> MessageStats:
        return message_stats(self.counter_names, self.counters())


#: Returns the exchange of a name in the current vhost.
Lookup = Callable[[str], Exchange | None]


def alternate_exchange(name: str, vhost: str, arguments: Table) -> str | None:
    """Return the alternate exchange that exchange.declare names, if any. Raises AmqpError 406 if it is not a string."""
    return exchange_argument(ALTERNATE_EXCHANGE, "exchange", name, vhost, arguments)


def exchange_argument(argument: str, kind: str, name: str, vhost: str, arguments: Table) -> str | None:
    """Return an argument that names an exchange (rabbit_misc:r_arg/4). Raises AmqpError 406 if it is not a string."""
    given = arguments.get(argument)
    if given is None:
        return None
    if given.kind != "S":
        raise errors.invalid_argument_type(argument, kind, name, vhost, TYPE_NAMES[given.kind])
    return text(given.value)
