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

    name: the value of x-queue-type. make(kind, host, name, settings, durable, auto_delete, owner, arguments): returns a
    `Queue`; None for a kind that RabbitMQ has and this broker has not.

    Declaration:
    arguments: those that it knows, in the order in which RabbitMQ compares them when a queue is declared again;
    arguments_of_4_3: those added in RabbitMQ 4.3. consumer_arguments, consumer_arguments_of_4_3: those of
    basic.consume. policy_keys: keys of policies that it takes beside those of its arguments. apply_to: value of a
    policy's apply-to for this kind only. merges: arguments that it merges with a policy in its own way. complete:
    changes the values of a queue's settings to those that it can have. durable_only: its queues have a name given by
    the client and are durable, neither exclusive nor auto-delete. relaxed_redeclaration: may be declared again as
    classic where the configuration allows it.

    Messages:
    line(max_priority, compat, pager): returns a `ReadyLine`, the order in which messages wait. consumers(queue,
    vhost, single_active): returns `Consumers`, which divide messages among them. offering, returns: classes that
    offer ready messages and take returned ones back. Kinds whose queue is no `LocalQueue` need none of these.
    stores_all: a durable queue stores transient messages, too. counts_returns: how often a message came back is in
    its headers, and may be limited.

    Clients:
    channel_prefetch: a channel-wide prefetch limits its consumers, else basic.consume is refused. prefetch_no_ack: the
    prefetch of a consumer also holds for deliveries without acknowledgement. exclusive_consumers: basic.consume may be
    exclusive, which is ignored elsewhere. merges_consumers: a consumer under the tag of a cancelled one takes the
    place of that, and what that holds counts against its prefetch. consumer_timeout: from RabbitMQ 4.3 on, deliveries
    have an acknowledgement timeout. conditional_delete: queue.delete with if-unused or if-empty is allowed.
    get_beside_single_active: basic.get is allowed on a queue with a single active consumer.

    Observation:
    replicated: has a leader and members. columns(row, info, settings, node): adds the columns of this kind to a row of
    the management API. detailed_columns: of QueueInfo, shown only in detail. owner_in_events: queue.created names the
    owner. expired_by: user who deletes an expired queue, in events. memory_key: its part of the node's memory.
    """

    name: str
    make: Callable[..., Any] | None = None

    arguments: tuple[str | Argument, ...] = ()
    arguments_of_4_3: tuple[str | Argument, ...] = ()
    consumer_arguments: tuple[str, ...] = ("x-priority",)
    consumer_arguments_of_4_3: tuple[str, ...] = ()
    policy_keys: frozenset[str] = frozenset()
    apply_to: str = ""
    merges: Mapping[str, Merge] = field(default_factory=dict)
    complete: Callable[[dict[str, Any]], None] = _as_given
    durable_only: bool = False
    relaxed_redeclaration: bool = False

    line: Callable[..., Any] | None = None
    consumers: Callable[..., Any] | None = None
    offering: Callable[..., Any] | None = None
    returns: Callable[..., Any] | None = None
    stores_all: bool = False
    counts_returns: bool = False

    channel_prefetch: bool = True
    prefetch_no_ack: bool = False
    exclusive_consumers: bool = True
    merges_consumers: bool = False
    consumer_timeout: bool = False
    conditional_delete: bool = True
    get_beside_single_active: bool = True

    replicated: bool = False
    columns: Callable[[dict[str, Any], QueueInfo, Any, str], None] = _no_columns
    detailed_columns: tuple[str, ...] = ()
    owner_in_events: bool = False
    expired_by: str = ""
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

    def arguments_in(self, newest: bool) -> Mapping[str, Argument]:
        """Return the arguments that it knows. newest: in RabbitMQ 4.3."""
        return self.known_of_4_3 if newest else self.known

    def consumer_arguments_in(self, newest: bool) -> tuple[str, ...]:
        """Return the arguments of basic.consume that it knows. newest: in RabbitMQ 4.3."""
        return self.consumer_arguments + self.consumer_arguments_of_4_3 if newest else self.consumer_arguments

    def takes(self, key: str) -> bool:
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
