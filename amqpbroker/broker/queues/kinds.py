"""The kinds of queues, one row for each kind.

Code that depends on the kind of a queue reads the queue's row (`Queue.kind`), never the kind's name. A queue with
x-max-priority is a classic queue.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from amqpbroker.broker.policies.ages import age_ms
from amqpbroker.broker.policies.auto_dead_letters import KEY as AUTO_DEAD_LETTER_QUEUE
from amqpbroker.broker.policies.auto_dead_letters import POLICY_KEY as AUTO_DEAD_LETTER_KEY
from amqpbroker.broker.policies.policy_keys import PolicyKeys
from amqpbroker.broker.queues.arguments.arguments import (
    ARGUMENTS,
    CONSUMER_ARGUMENTS,
    DEAD_LETTER_EXCHANGE,
    MAX_SEGMENT_SIZE_BYTES,
    OTHER_KEYS,
    QUEUE_TYPE,
    Argument,
    by_policy,
)
from amqpbroker.broker.queues.arguments.extensions import OF_CLASSIC, OF_CONSUMERS, OF_QUORUM
from amqpbroker.broker.queues.arguments.retry_delay import retry_delay
from amqpbroker.broker.queues.columns import ABSENT_OF_STREAMS, classic_columns, quorum_columns, stream_columns
from amqpbroker.broker.queues.consumers import Consumers, QuorumConsumers
from amqpbroker.broker.queues.dispatcher import Dispatcher, RoundDispatcher
from amqpbroker.broker.queues.kind import Kind
from amqpbroker.broker.queues.lines.fifo_line import FifoLine
from amqpbroker.broker.queues.lines.pages import Pager
from amqpbroker.broker.queues.lines.priority_line import PriorityLine
from amqpbroker.broker.queues.lines.quorum_lines import QuorumLine, StrictQuorumLine
from amqpbroker.broker.queues.lines.ready_line import ReadyLine
from amqpbroker.broker.queues.local_parts import LocalParts
from amqpbroker.broker.queues.make_local_queue import make_local_queue
from amqpbroker.broker.queues.returns import QuorumReturns, Returns
from amqpbroker.broker.queues.streams.queue import StreamQueue
from amqpbroker.broker.queues.streams.tracking import AUTOMATIC_TRACKING
from amqpbroker.compat import DEFAULT_COMPAT, NEWEST_COMPAT, Compat
from amqpbroker.store.streams.stream_log import SEGMENT_SIZE
from amqpbroker.wire.values import INTEGER_KINDS, Table

#: Number of returns after which a quorum queue drops a message by default (RabbitMQ 4.0).
DEFAULT_DELIVERY_LIMIT = 20


def _classic_line(max_priority: int, compat: Compat, pager: Pager | None) -> ReadyLine:
    return PriorityLine(max_priority, pager) if max_priority else FifoLine(pager)


def _quorum_line(max_priority: int, compat: Compat, pager: Pager | None) -> ReadyLine:
    return StrictQuorumLine(pager) if compat.strict_priorities else QuorumLine(pager)


def _complete_classic(values: dict[str, Any]) -> None:
    if "max_priority" in values:
        values["max_priority"] = max(1, values["max_priority"])
    _complete_retry(values)


def _complete_retry(values: dict[str, Any]) -> None:
    names = ("retry_type", "retry_min_ms", "retry_max_ms", "retry_multiplier", "retry_jitter")
    values["retry"] = retry_delay(*[values.pop(name, None) for name in names])


def _complete_quorum(values: dict[str, Any]) -> None:
    """Replace settings that quorum queues do not support (rabbit_quorum_queue: overflow/3, dlh/5)."""
    values.setdefault("delivery_limit", DEFAULT_DELIVERY_LIMIT)
    _complete_retry(values)
    if values.get("overflow") == "reject-publish-dlx":
        values["overflow"] = "drop-head"
    if values.get("overflow") != "reject-publish" or "dead_letter_exchange" not in values:
        values["dead_letter_strategy"] = "at-most-once"


def _complete_stream(values: dict[str, Any]) -> None:
    values.setdefault("segment_bytes", SEGMENT_SIZE)
    if "max_age" in values:
        values["max_age_ms"] = age_ms(values.pop("max_age"))


def _stream_problem(arguments: Table, compat: Compat) -> str | None:
    """Return why the sizes of a stream are refused (rabbit_stream_queue:declare/2)."""
    size = arguments.get("x-stream-max-segment-size-bytes")
    if size is not None and size.value > MAX_SEGMENT_SIZE_BYTES:
        return "Exceeded max value for x-stream-max-segment-size-bytes"
    size = arguments.get("x-stream-filter-size-bytes")
    if size is not None and not (size.kind in INTEGER_KINDS and 16 <= size.value <= 255):
        space = " " if compat.checks_filter_size else "  "
        return f"Invalid value for{space}x-stream-filter-size-bytes"
    return None


CLASSIC_PARTS: Final = LocalParts(_classic_line, Consumers, Dispatcher, Returns)

CLASSIC: Final = Kind(
    "classic",
    partial(make_local_queue, CLASSIC_PARTS),
    arguments=(
        "x-expires",
        "x-message-ttl",
        DEAD_LETTER_EXCHANGE,
        "x-dead-letter-routing-key",
        "x-max-length",
        "x-max-length-bytes",
        "x-max-priority",
        "x-overflow",
        "x-queue-mode",
        "x-queue-version",
        "x-single-active-consumer",
        QUEUE_TYPE,
        "x-queue-master-locator",
        "x-queue-leader-locator",
    ),
    extensions=OF_CLASSIC,
    consumer_extensions=OF_CONSUMERS,
    apply_to="classic_queues",
    complete=_complete_classic,
    columns=classic_columns,
    detailed_columns=("single_active_consumer_tag", "exclusive_consumer_tag", "head_message_timestamp", "idle_since"),
    owner_in_events=True,
)

QUORUM: Final = Kind(
    "quorum",
    partial(make_local_queue, LocalParts(_quorum_line, QuorumConsumers, RoundDispatcher, QuorumReturns)),
    arguments=(
        DEAD_LETTER_EXCHANGE,
        "x-dead-letter-routing-key",
        "x-dead-letter-strategy",
        "x-expires",
        "x-max-length",
        "x-max-length-bytes",
        "x-max-in-memory-length",
        "x-max-in-memory-bytes",
        "x-overflow",
        "x-single-active-consumer",
        QUEUE_TYPE,
        "x-quorum-initial-group-size",
        "x-delivery-limit",
        "x-message-ttl",
        "x-queue-leader-locator",
    ),
    arguments_of_4_3=(
        "x-consumer-disconnected-timeout",
        "x-consumer-timeout",
        "x-delayed-retry-type",
        "x-delayed-retry-min",
        "x-delayed-retry-max",
    ),
    extensions=OF_QUORUM,
    consumer_arguments_of_4_3=("x-consumer-timeout",),
    consumer_extensions=OF_CONSUMERS,
    policy_keys=frozenset(("target-group-size",)),
    apply_to="quorum_queues",
    merges={"x-overflow": by_policy},
    complete=_complete_quorum,
    durable_only=True,
    relaxed_redeclaration=True,
    stores_all=True,
    counts_returns=True,
    shuts=True,
    expires_late=True,
    nacks_when_deleted=False,
    channel_prefetch=False,
    prefetch_no_ack=True,
    exclusive_consumers=False,
    merges_consumers=True,
    consumer_timeout=True,
    counts_holders=True,
    conditional_delete=False,
    get_beside_single_active=False,
    replicated=True,
    shows_raft=True,
    # rabbit_quorum_queue:spawn_deleter
    expired_by="expired",
    shows_first_consumer=True,
    columns=quorum_columns,
    memory_key="quorum_queue_procs",
)

STREAM: Final = Kind(
    "stream",
    StreamQueue,
    arguments=(
        "x-max-length-bytes",
        QUEUE_TYPE,
        "x-max-age",
        "x-stream-max-segment-size-bytes",
        "x-stream-filter-size-bytes",
        "x-initial-cluster-size",
        "x-queue-leader-locator",
    ),
    consumer_arguments=("x-stream-offset", "x-stream-filter", "x-stream-match-unfiltered"),
    consumer_extensions=(AUTOMATIC_TRACKING,),
    apply_to="streams",
    merges={"x-max-length-bytes": by_policy},
    complete=_complete_stream,
    durable_only=True,
    declaration_problem=_stream_problem,
    stores_all=True,
    retains=True,
    channel_prefetch=False,
    needs_credit=True,
    deleted_always=True,
    replicated=True,
    exclusive_in_events=False,
    columns=stream_columns,
    absent_columns=ABSENT_OF_STREAMS,
    detailed_columns=(),
    memory_key="stream_queue_procs",
)

#: All kinds by name. A row that is added before a broker starts is a kind of queue in that broker.
KINDS: dict[str, Kind] = {kind.name: kind for kind in (CLASSIC, QUORUM, STREAM)}


def known_arguments(compat: Compat = DEFAULT_COMPAT) -> Mapping[str, Argument]:
    """Return the arguments that queues of any kind know."""
    return {name: row for kind in KINDS.values() for name, row in kind.arguments_in(compat).items()}


def known_consumer_arguments(compat: Compat = DEFAULT_COMPAT) -> frozenset[str]:
    """Return the arguments of basic.consume that queues of any kind know."""
    return frozenset(
        name for name in CONSUMER_ARGUMENTS for kind in KINDS.values() if name in kind.consumer_arguments_in(compat)
    )


def policy_keys(compat: Compat) -> PolicyKeys:
    """Return the keys that policies can have, for the present kinds."""
    rows = {**known_arguments(NEWEST_COMPAT), **ARGUMENTS}
    keys = {row.key: row.policy for row in rows.values() if row.policy is not None}
    return PolicyKeys(OTHER_KEYS | keys | {AUTO_DEAD_LETTER_QUEUE: AUTO_DEAD_LETTER_KEY}, KINDS.values(), compat)
