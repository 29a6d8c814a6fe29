"""A row of the table of queue kinds (`kinds`)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

from amqpbroker.broker.infos import QueueInfo
from amqpbroker.broker.queues.arguments.arguments import (
    ARGUMENTS,
    CONSUMER_ARGUMENTS,
    Argument,
    Merge,
    check_of,
)
from amqpbroker.compat import Compat
from amqpbroker.wire.values import Table


def _as_given(values: dict[str, Any]) -> None:
    pass


def _no_problem(arguments: Table, compat: Compat) -> str | None:
    return None


def _no_columns(row: dict[str, Any], info: QueueInfo, settings: Any, node: str) -> None:
    pass


@final
@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of queue, with everything that other modules need to know about it.

    This module imports no other module of queues, because every queue knows its row. The functions of a row therefore
    document their result types here.
    """

    #: Value of x-queue-type.
    name: str
    #: make(kind, host, name, settings, durable, auto_delete, owner, arguments): returns a `Queue`.
    make: Callable[..., Any]

    # --- declaration --------------------------------------------------------------------------------------------------

    #: Supported arguments, in the order in which RabbitMQ compares them when a queue is declared again: names of the
    #: table, or rows of their own.
    arguments: tuple[str | Argument, ...] = ()
    #: Arguments added in RabbitMQ 4.3.
    arguments_of_4_3: tuple[str | Argument, ...] = ()
    #: Arguments added by extensions of this broker.
    extensions: tuple[str | Argument, ...] = ()
    #: Supported arguments of basic.consume.
    consumer_arguments: tuple[str, ...] = ("x-priority",)
    consumer_arguments_of_4_3: tuple[str, ...] = ()
    consumer_extensions: tuple[str, ...] = ()
    #: Supported policy keys other than those of the arguments.
    policy_keys: frozenset[str] = frozenset()
    #: Value of a policy's apply-to for this kind only.
    apply_to: str = ""
    #: Arguments that are merged with a policy in a special way.
    merges: Mapping[str, Merge] = field(default_factory=dict)
    #: Changes the values of a queue's settings to supported ones.
    complete: Callable[[dict[str, Any]], None] = _as_given
    #: Queues are durable, neither exclusive nor auto-delete, and have a name given by the client.
    durable_only: bool = False
    #: Returns why RabbitMQ refuses the arguments of a queue with allowed properties, None if it does not.
    declaration_problem: Callable[[Table, Compat], str | None] = _no_problem
    #: Queues may be declared again as classic ones if the configuration allows it.
    relaxed_redeclaration: bool = False

    # --- messages -----------------------------------------------------------------------------------------------------

    #: A durable queue also stores transient messages.
    stores_all: bool = False
    #: Messages stay when they are delivered, and leave only by the queue's limits. None can be removed or moved.
    retains: bool = False
    #: Returns of a message are counted in its headers, and may be limited.
    counts_returns: bool = False
    #: A queue that refuses publishes still accepts the publish that exceeds its length limit, and no other until it is
    #: well below the limit. A queue that drops messages drops all messages over the limit together, and dead-letters
    #: the last one first.
    shuts: bool = False
    #: Expired messages behind the one that basic.get returns still count in the answer.
    expires_late: bool = False
    #: A publish to a queue that was just deleted is refused.
    nacks_when_deleted: bool = True

    # --- clients ------------------------------------------------------------------------------------------------------

    #: A channel-wide prefetch limits the consumers; for other kinds basic.consume is refused.
    channel_prefetch: bool = True
    #: basic.consume needs a prefetch, and deliveries need acknowledgements.
    needs_credit: bool = False
    #: The prefetch of a consumer also applies to deliveries without acknowledgement.
    prefetch_no_ack: bool = False
    #: basic.consume may be exclusive, and the consumer is shown as such; other kinds ignore the flag.
    exclusive_consumers: bool = True
    #: A consumer with the tag of a cancelled one replaces it, and messages that the cancelled one holds count against
    #: the prefetch.
    merges_consumers: bool = False
    #: From RabbitMQ 4.3 on, deliveries have an acknowledgement timeout.
    consumer_timeout: bool = False
    #: Clients that hold messages count as consumers, also basic.get and cancelled consumers, but not consumers that
    #: wait to be the single active one.
    counts_holders: bool = False
    #: queue.delete may have the flags if-unused and if-empty.
    conditional_delete: bool = True
    #: The flags if-unused and if-empty of queue.delete have no effect, and the answer counts no messages.
    deleted_always: bool = False
    #: basic.get is allowed on a queue with a single active consumer.
    get_beside_single_active: bool = True

    # --- observation --------------------------------------------------------------------------------------------------

    #: Queues have a leader and members.
    replicated: bool = False
    #: The state of each member is shown, as of Raft's log.
    shows_raft: bool = False
    #: columns(row, info, settings, node): adds the columns of this kind to a row of the management API.
    columns: Callable[[dict[str, Any], QueueInfo, Any, str], None] = _no_columns
    #: Columns of most kinds that this kind does not have.
    absent_columns: tuple[str, ...] = ()
    #: Columns of QueueInfo that are shown only in detail.
    detailed_columns: tuple[str, ...] = ("single_active_consumer_tag",)
    #: The first consumer is shown as the single active one if all consumers are active.
    shows_first_consumer: bool = False
    #: The event queue.created names the owner.
    owner_in_events: bool = False
    #: The event queue.created shows whether the queue is exclusive.
    exclusive_in_events: bool = True
    #: The user who deletes an expired queue, in events.
    expired_by: str = ""
    #: The part of the node's memory that these queues count to.
    memory_key: str = "queue_procs"

    #: Supported arguments by name, by whether those of 4.3 and those of extensions are among them.
    _known: Mapping[tuple[bool, bool], Mapping[str, Argument]] = field(init=False)

    def __post_init__(self) -> None:
        old, new, own = (_rows(each) for each in (self.arguments, self.arguments_of_4_3, self.extensions))
        known = {(False, False): old, (True, False): old | new, (False, True): old | own, (True, True): old | new | own}
        object.__setattr__(self, "_known", known)

    @property
    def module(self) -> str:
        """Return the name that RabbitMQ prints for the kind, which is that of a module."""
        return f"rabbit_{self.name}_queue"

    @property
    def has_at_least_once(self) -> bool:
        """Return whether dead letters can be sent at least once."""
        return "x-dead-letter-strategy" in self._known[False, False]

    @property
    def has_delivery_limit(self) -> bool:
        """Return whether the delivery of a message is limited in RabbitMQ."""
        return "x-delivery-limit" in self._known[False, False]

    def shows_delayed_retry(self, compat: Compat) -> bool:
        """Return whether RabbitMQ shows the delay of returned messages, even if there is none."""
        return "x-delayed-retry-type" in self._known[compat.arguments_of_4_3, False]

    def arguments_in(self, compat: Compat) -> Mapping[str, Argument]:
        """Return the supported arguments by name: in RabbitMQ's order of comparison, then those of extensions."""
        return self._known[compat.arguments_of_4_3, compat.extensions]

    def consumer_arguments_in(self, compat: Compat) -> tuple[str, ...]:
        """Return the supported arguments of basic.consume."""
        new = self.consumer_arguments_of_4_3 if compat.arguments_of_4_3 else ()
        own = self.consumer_extensions if compat.extensions else ()
        return self.consumer_arguments + new + own

    def accepts(self, key: str, compat: Compat) -> bool:
        """Return whether policies with the key apply to queues of this kind, although not to every kind."""
        return f"x-{key}" in self._known[False, compat.extensions] or key in self.policy_keys

    def argument_problem(self, arguments: Table, compat: Compat) -> tuple[str, str] | None:
        """Return the first argument (in RabbitMQ's order) with a value that is not allowed, and its problem."""
        known = self.arguments_in(compat)
        rows = [row for name, row in ARGUMENTS.items() if name in known]
        for row in (*rows, *[row for name, row in known.items() if name not in ARGUMENTS]):
            given = arguments.get(row.name)
            check = check_of(row, compat)
            problem = None if given is None or check is None else check(given, arguments)
            if problem is not None:
                return row.name, problem
        return None

    def consumer_argument_problem(self, arguments: Table, compat: Compat) -> tuple[str, str] | None:
        """Return the first argument of basic.consume with a value that is not allowed, and its problem."""
        known = self.consumer_arguments_in(compat)
        for name, row in CONSUMER_ARGUMENTS.items():
            given = arguments.get(name)
            check = check_of(row, compat)
            problem = None if given is None or check is None or name not in known else check(given, arguments)
            if problem is not None:
                return name, problem
        return None


def _rows(arguments: tuple[str | Argument, ...]) -> dict[str, Argument]:
    rows = [ARGUMENTS[each] if isinstance(each, str) else each for each in arguments]
    return {row.name: row for row in rows}
