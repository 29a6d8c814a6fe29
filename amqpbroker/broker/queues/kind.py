"""A row of the table of kinds of queues (`kinds`)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

from amqpbroker.broker.infos import QueueInfo
from amqpbroker.broker.queues.arguments import ARGUMENTS, CONSUMER_ARGUMENTS, Argument, Merge, check_of
from amqpbroker.wire.values import Table


def _as_given(values: dict[str, Any]) -> None:
    pass


def _no_columns(row: dict[str, Any], info: QueueInfo, settings: Any, node: str) -> None:
    pass


@final
@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of queue: everything that others may ask about it.

    The module imports nothing that queues are made of, because every queue knows its row; the types of what the
    functions of a row return are named here.
    """

    #: Value of x-queue-type.
    name: str
    #: make(kind, host, name, settings, durable, auto_delete, owner, arguments): returns a `Queue`. None for a kind that
    #: RabbitMQ has and this broker has not.
    make: Callable[..., Any] | None = None

    # --- declaration ------------------------------------------------------------------------------------------------

    #: Arguments that it knows, in the order in which RabbitMQ compares them when a queue is declared again: names of
    #: the table, or rows of its own.
    arguments: tuple[str | Argument, ...] = ()
    #: Arguments added in RabbitMQ 4.3.
    arguments_of_4_3: tuple[str | Argument, ...] = ()
    #: Arguments of basic.consume that it knows.
    consumer_arguments: tuple[str, ...] = ("x-priority",)
    consumer_arguments_of_4_3: tuple[str, ...] = ()
    #: Keys of policies that it takes beside those of its arguments.
    policy_keys: frozenset[str] = frozenset()
    #: Value of a policy's apply-to for this kind only.
    apply_to: str = ""
    #: Arguments that it merges with a policy in its own way.
    merges: Mapping[str, Merge] = field(default_factory=dict)
    #: Changes the values of a queue's settings to those that it can have.
    complete: Callable[[dict[str, Any]], None] = _as_given
    #: Queues are durable, neither exclusive nor auto-delete, and have a name given by the client.
    durable_only: bool = False
    #: Queues may be declared again as classic ones where the configuration allows it.
    relaxed_redeclaration: bool = False

    # --- messages ---------------------------------------------------------------------------------------------------

    #: A durable queue stores transient messages, too.
    stores_all: bool = False
    #: Returns of a message are counted in its headers, and may be limited.
    counts_returns: bool = False
    #: A queue that refuses publishes takes the one that exceeds its length limit, and no other until it is well below.
    #: One that drops messages drops those that exceed the limit together, and dead-letters the last one first.
    shuts: bool = False
    #: Messages that have expired behind the one that basic.get takes still count in the answer.
    expires_late: bool = False
    #: A publish to a queue that was just deleted is refused.
    nacks_when_deleted: bool = True

    # --- clients ----------------------------------------------------------------------------------------------------

    #: A channel-wide prefetch limits its consumers; elsewhere basic.consume is refused.
    channel_prefetch: bool = True
    #: The prefetch of a consumer also holds for deliveries without acknowledgement.
    prefetch_no_ack: bool = False
    #: basic.consume may be exclusive, which is ignored elsewhere.
    exclusive_consumers: bool = True
    #: A consumer under the tag of a cancelled one takes its place, and messages that this one holds count against the
    #: prefetch.
    merges_consumers: bool = False
    #: From RabbitMQ 4.3 on, deliveries have an acknowledgement timeout.
    consumer_timeout: bool = False
    #: Clients that hold messages count as consumers, also basic.get and cancelled ones, but not consumers that wait to
    #: be the single active one.
    counts_holders: bool = False
    #: queue.delete may have the flags if-unused and if-empty.
    conditional_delete: bool = True
    #: basic.get is allowed on a queue with a single active consumer.
    get_beside_single_active: bool = True

    # --- observation ------------------------------------------------------------------------------------------------

    #: Queues have a leader and members.
    replicated: bool = False
    #: columns(row, info, settings, node): adds the columns of this kind to a row of the management API.
    columns: Callable[[dict[str, Any], QueueInfo, Any, str], None] = _no_columns
    #: Columns of QueueInfo that are shown only in detail.
    detailed_columns: tuple[str, ...] = ()
    #: The first consumer is shown as the single active one if all are active.
    shows_first_consumer: bool = False
    #: The event queue.created names the owner.
    owner_in_events: bool = False
    #: User who deletes an expired queue, in events.
    expired_by: str = ""
    #: Part of the node's memory that its queues take.
    memory_key: str = "queue_procs"

    #: Its arguments by name, in RabbitMQ's order of comparison, and with those of 4.3 behind them.
    known: Mapping[str, Argument] = field(init=False)
    known_of_4_3: Mapping[str, Argument] = field(init=False)

    def __post_init__(self) -> None:
        known = _rows(self.arguments)
        object.__setattr__(self, "known", known)
        object.__setattr__(self, "known_of_4_3", known | _rows(self.arguments_of_4_3))

    @property
    def module(self) -> str:
        """Return the name that RabbitMQ prints for it: that of a module."""
        return f"rabbit_{self.name}_queue"

    @property
    def has_at_least_once(self) -> bool:
        """Return whether dead letters can be sent at least once."""
        return "x-dead-letter-strategy" in self.known

    @property
    def has_delivery_limit(self) -> bool:
        return "x-delivery-limit" in self.known

    @property
    def has_delayed_retry(self) -> bool:
        return "x-delayed-retry-type" in self.known_of_4_3

    def arguments_in(self, newest: bool) -> Mapping[str, Argument]:
        """Return the arguments that it knows. newest: in RabbitMQ 4.3."""
        return self.known_of_4_3 if newest else self.known

    def consumer_arguments_in(self, newest: bool) -> tuple[str, ...]:
        """Return the arguments of basic.consume that it knows. newest: in RabbitMQ 4.3."""
        return self.consumer_arguments + self.consumer_arguments_of_4_3 if newest else self.consumer_arguments

    def accepts(self, key: str) -> bool:
        """Return whether its queues take a policy with the key, although not every kind does."""
        return f"x-{key}" in self.known or key in self.policy_keys

    def argument_problem(self, arguments: Table, newest: bool) -> tuple[str, str] | None:
        """Return the first argument (in RabbitMQ's order) with a value that is not allowed, and its problem."""
        known = self.arguments_in(newest)
        rows = [row for name, row in ARGUMENTS.items() if name in known]
        for row in (*rows, *[row for name, row in known.items() if name not in ARGUMENTS]):
            given = arguments.get(row.name)
            check = check_of(row, newest)
            problem = None if given is None or check is None else check(given, arguments)
            if problem is not None:
                return row.name, problem
        return None

    def consumer_argument_problem(self, arguments: Table, newest: bool) -> tuple[str, str] | None:
        """Return the same for basic.consume."""
        known = self.consumer_arguments_in(newest)
        for name, row in CONSUMER_ARGUMENTS.items():
            given = arguments.get(name)
            problem = None if given is None or row.check is None or name not in known else row.check(given, arguments)
            if problem is not None:
                return name, problem
        return None


def _rows(arguments: tuple[str | Argument, ...]) -> dict[str, Argument]:
    rows = [ARGUMENTS[each] if isinstance(each, str) else each for each in arguments]
    return {row.name: row for row in rows}
