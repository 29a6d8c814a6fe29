from typing import Any

import pytest

from amqpbroker.broker.queues.deduplicating_queue import DeduplicatingQueue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.clock import ManualClock
from amqpbroker.compiled import is_compiled
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.errors import AmqpError
from amqpbroker.message.message import Message, encode_address
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, longstr
from tests.broker.queueing import Subscriber, clock_of, get, ready, table, with_graves
from tests.broker.storing import Node, bodies, depth
from tests.harness import make_broker

HEADER = "x-deduplication-header"

#: Every kind of queue, and single active consumer, which have their own ways of delivering messages.
KINDS = pytest.mark.parametrize(
    "kind",
    [{}, {"queue_type": "quorum"}, {"max_priority": 3}, {"single_active_consumer": True}],
    ids=["classic", "quorum", "priority", "single-active"],
)


def declare(vhost: Vhost, name: str = "q", durable: bool = False, **arguments: Any) -> DeduplicatingQueue:
    arguments = {"message_deduplication": True, **arguments}
    durable = durable or arguments.get("queue_type") == "quorum"
    queue = vhost.declare_queue(name, durable, False, False, table(**arguments))
    assert isinstance(queue, DeduplicatingQueue)
    return queue


def message(id_: str | None, body: bytes = b"m", persistent: bool = True, **headers: Field) -> Message:
    if id_ is not None:
        headers[HEADER] = longstr(id_)
    properties: dict[str, Any] = {"headers": headers, "delivery_mode": 2 if persistent else 1}
    made = Message(encode_address("", b"q"), encode_properties(properties), body)
    made.persistent = persistent
    made.undecoded = True
    return made


def send(queue: DeduplicatingQueue, *ids: str | None) -> int:
    """Publish messages with these ids, all of which must be accepted; return the number that was added."""
    before = queue.deduplicated
    for id_ in ids:
        assert queue.publish(message(id_, (id_ or "").encode()))
    return len(ids) - (queue.deduplicated - before)


# --- while an equal message is in the queue ---------------------------------------------------------------------------


@KINDS
def test_duplicate_of_a_waiting_message_is_dropped(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    assert send(queue, "a", "b", "a", None, None) == 4
    assert sorted(ready(queue)) == [b"", b"", b"a", b"b"]
    assert queue.deduplicated == 1


@KINDS
def test_id_is_taken_until_the_message_is_acknowledged(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    consumer = Subscriber(queue).subscribe()
    assert send(queue, "a", "a") == 1
    assert consumer.take() == [b"a"]
    consumer.ack()
    assert send(queue, "a", "b", "a") == 2
    consumer.ack_all(2)
    assert send(queue, "a", "b") == 2


@KINDS
def test_returned_messages_are_never_duplicates(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    consumer = Subscriber(queue).subscribe()
    send(queue, "a")
    consumer.requeue()
    assert consumer.take() == [b"a", b"a"]
    assert send(queue, "a") == 0
    consumer.reject()
    assert send(queue, "a") == 1


def test_id_of_a_message_that_goes_to_the_end_of_an_unlimited_quorum_queue_stays_taken(vhost: Vhost) -> None:
    queue = declare(vhost, queue_type="quorum", delivery_limit=-1)
    consumer = Subscriber(queue, limit=1).subscribe()
    send(queue, "a", "b")
    consumer.requeue()
    assert send(queue, "a", "b") == 0
    consumer.ack()
    consumer.ack()
    assert send(queue, "a", "b") == 2


def test_message_delivered_without_acknowledgement_never_takes_its_id(vhost: Vhost) -> None:
    queue = declare(vhost)
    consumer = Subscriber(queue, no_ack=True).subscribe()
    assert send(queue, "a", "a") == 2
    consumer.cancel()
    assert send(queue, "a", "a") == 1
    assert get(queue, no_ack=True).message.body == b"a"
    assert send(queue, "a") == 1
    Subscriber(queue, no_ack=True).subscribe()
    assert send(queue, "a") == 1


@KINDS
def test_purge_frees_the_ids_of_waiting_messages_only(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    consumer = Subscriber(queue, limit=1).subscribe()
    send(queue, "a", "b", "c")
    assert queue.purge() == 2
    assert send(queue, "a", "b", "c") == 2
    assert consumer.take() == [b"a"]


def test_expired_dropped_and_rejected_messages_free_their_ids(vhost: Vhost) -> None:
    graves = with_graves(vhost)[1]
    queue = declare(vhost, "d", message_ttl=100, max_length=2, dead_letter_exchange="", dead_letter_routing_key="grave")
    send(queue, "a", "b", "c")
    assert send(queue, "a") == 1
    assert send(queue, "c") == 0
    clock_of(vhost).advance(100)
    assert send(queue, "a", "c") == 2
    assert len(ready(graves)) == 4


def test_duplicate_is_accepted_by_a_full_queue_and_a_refused_message_can_be_repeated(vhost: Vhost) -> None:
    queue = declare(vhost, max_length=1, overflow="reject-publish")
    assert queue.publish(message("a"))
    assert not queue.publish(message("b"))
    assert queue.publish(message("a"))
    get(queue, no_ack=True)
    assert queue.publish(message("b"))
    assert (queue.deduplicated, queue.refused) == (1, 1)


# --- within a window --------------------------------------------------------------------------------------------------


@KINDS
def test_window_remembers_an_id_after_the_message_is_gone(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, cache_ttl=1000, **kind)
    consumer = Subscriber(queue).subscribe()
    assert send(queue, "a") == 1
    consumer.ack()
    clock_of(vhost).advance(999)
    assert send(queue, "a") == 0
    clock_of(vhost).advance(1)
    assert send(queue, "a", "a") == 1


def test_window_is_five_minutes_by_default(vhost: Vhost) -> None:
    queue = declare(vhost, deduplication_scope="window")
    send(queue, "a")
    clock_of(vhost).advance(299_999)
    assert send(queue, "a") == 0
    clock_of(vhost).advance(1)
    assert send(queue, "a") == 1


def test_window_with_a_size_alone_forgets_the_oldest_id_and_has_no_time_limit(vhost: Vhost) -> None:
    queue = declare(vhost, cache_size=2)
    send(queue, "a", "b")
    clock_of(vhost).advance(10**9)
    assert send(queue, "a", "b") == 0
    assert send(queue, "c") == 1
    assert send(queue, "b", "c") == 0
    assert send(queue, "a") == 1


def test_header_of_a_message_overrides_the_time(vhost: Vhost) -> None:
    queue = declare(vhost, cache_ttl=1000)
    assert queue.publish(message("a", **{"x-cache-ttl": Field("I", 10)}))
    assert queue.publish(message("b", **{"x-cache-ttl": longstr("no number")}))
    clock_of(vhost).advance(10)
    assert send(queue, "a", "b") == 1


def test_refused_message_is_not_remembered_in_the_window(vhost: Vhost) -> None:
    queue = declare(vhost, cache_ttl=1000, max_length=1, overflow="reject-publish")
    send(queue, "a")
    assert not queue.publish(message("b"))
    get(queue, no_ack=True)
    assert send(queue, "b") == 1


def test_window_remembers_messages_delivered_without_acknowledgement(vhost: Vhost) -> None:
    queue = declare(vhost, cache_ttl=1000)
    Subscriber(queue, no_ack=True).subscribe()
    assert send(queue, "a", "a") == 1


def test_moved_messages_are_not_checked(vhost: Vhost) -> None:
    graves = with_graves(vhost)[1]
    queue = declare(vhost, "d", cache_ttl=1000, dead_letter_exchange="", dead_letter_routing_key="grave")
    consumer = Subscriber(queue, limit=1).subscribe()
    send(queue, "a")
    consumer.reject()
    consumer.cancel()
    assert graves.move(queue, 1, 1000) == 1
    assert ready(queue) == [b"a"]


# --- ids --------------------------------------------------------------------------------------------------------------


def test_id_is_in_the_header_that_the_queue_names(vhost: Vhost) -> None:
    queue = declare(vhost, deduplication_header="order")
    for value in ("1", "1", "2"):
        assert queue.publish(message("same", order=longstr(value)))
    assert queue.ready_count == 2


def test_id_is_the_property_message_id_if_the_queue_says_so(vhost: Vhost) -> None:
    queue = declare(vhost, deduplication_property="message_id")
    for value in (b"1", b"1", b"2"):
        assert queue.publish(Message(encode_address("", b"q"), encode_properties({"message_id": value}), b""))
    assert queue.publish(message("no message id"))
    assert queue.publish(message("no message id"))
    assert queue.ready_count == 4


# --- dead letters -----------------------------------------------------------------------------------------------------


def test_dead_letters_are_checked_and_a_dropped_one_does_not_count_as_published(vhost: Vhost) -> None:
    grave = declare(vhost, "grave")
    source = declare(vhost, "s", cache_ttl=1, dead_letter_exchange="", dead_letter_routing_key="grave")
    for _ in range(2):
        send(source, "a")
        entry = source.get(no_ack=False)
        assert entry is not None
        source.reject([entry])
        clock_of(vhost).advance(1)
    assert ready(grave) == [b"a"]
    assert grave.deduplicated == 1
    assert grave.counters()[0] == 0  # publish


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "argument", "text"),
    [
        ({"message_deduplication": "yes"}, "x-message-deduplication", "expected boolean, got longstr"),
        ({"cache_ttl": 0}, "x-cache-ttl", "expected 1 to 315360000000, got 0"),
        ({"cache_ttl": "1"}, "x-cache-ttl", "expected integer, got longstr"),
        ({"cache_size": 0}, "x-cache-size", "expected 1 to 2147483647, got 0"),
        ({"cache_persistence": "ram"}, "x-cache-persistence", "expected 'disk' or 'memory', got 'ram'"),
        ({"deduplication_scope": "vhost"}, "x-deduplication-scope", "expected 'window' or 'queue', got 'vhost'"),
        ({"deduplication_property": "type"}, "x-deduplication-property", "expected 'message_id', got 'type'"),
        ({"deduplication_header": ""}, "x-deduplication-header", "expected the name of a header, 1 to 255 bytes"),
        (
            {"deduplication_header": "h", "deduplication_property": "message_id"},
            "x-deduplication-header",
            "the id is in a header or in a property: leave out x-deduplication-header or x-deduplication-property",
        ),
        (
            {"deduplication_scope": "queue", "cache_ttl": 1},
            "x-cache-ttl",
            "has no effect with x-deduplication-scope = queue: leave one of them out",
        ),
        (
            {"deduplication_scope": "queue", "cache_size": 1},
            "x-cache-size",
            "has no effect with x-deduplication-scope = queue: leave one of them out",
        ),
        *[
            (
                {"message_deduplication": False, name: value},
                "x-" + name.replace("_", "-"),
                "has no effect without x-message-deduplication = true",
            )
            for name, value in {
                "cache_ttl": 1,
                "cache_size": 1,
                "cache_persistence": "disk",
                "deduplication_scope": "queue",
                "deduplication_header": "h",
                "deduplication_property": "message_id",
            }.items()
        ],
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    vhost: Vhost, arguments: dict[str, Any], argument: str, text: str
) -> None:
    with pytest.raises(AmqpError) as error:
        declare(vhost, **arguments)
    assert error.value.text == (
        f"PRECONDITION_FAILED - invalid arg '{argument}' for queue 'q' in vhost '/': \"{text}\""
    )


def test_without_extensions_the_arguments_have_no_effect() -> None:
    broker = make_broker()
    compat = broker.config.compat.configured({"transient_nonexcl_queues": True}, extensions=False)
    vhost = make_broker(compat=compat).vhosts["/"]
    queue = vhost.declare_queue("q", False, False, False, table(message_deduplication=True, cache_ttl="x"))
    assert not isinstance(queue, DeduplicatingQueue)


def test_other_values_of_an_argument_are_no_equivalent_declaration(vhost: Vhost) -> None:
    declare(vhost, cache_ttl=1000)
    declare(vhost, cache_ttl=1000)
    with pytest.raises(AmqpError, match="inequivalent arg 'x-cache-ttl'"):
        declare(vhost, cache_ttl=2000)


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_window_without_a_size_is_bounded() -> None:
    vhost = make_broker(bounds=BOUNDS._replace(deduplication_ids=3)).vhosts["/"]
    queue = declare(vhost, cache_ttl=1000)
    assert send(queue, "a", "b", "c", "d") == 4
    assert send(queue, "b", "c", "d") == 0
    assert send(queue, "a") == 1


# --- stored -----------------------------------------------------------------------------------------------------------


def node(kind: dict[str, Any], **arguments: Any) -> Node:
    return Node(q=table(message_deduplication=True, **kind, **arguments))


def publish(node: Node, *ids: str, delivery_mode: int = 2) -> int:
    """Publish messages with these ids over AMQP; return the number that was added."""
    queue = node.broker.vhosts["/"].queues["q"]
    before = queue.deduplicated
    client = node.client()
    for id_ in ids:
        client.publish("q", id_.encode(), delivery_mode=delivery_mode, headers={HEADER: longstr(id_)})
    client.turn()
    return len(ids) - (queue.deduplicated - before)


@KINDS
@pytest.mark.parametrize("arguments", [{}, {"cache_ttl": 1000}], ids=["queue", "window"])
def test_ids_survive_a_crash_with_their_messages(kind: dict[str, Any], arguments: dict[str, Any]) -> None:
    before = node(kind, **arguments)
    assert publish(before, "a", "b", "a") == 2
    after = before.crash()
    assert publish(after, "a", "b", "c") == 1
    after = after.crash()
    assert publish(after, "a", "b", "c") == 0
    assert sorted(bodies(after)) == ["a", "b", "c"]


def test_id_of_a_settled_message_is_free_after_a_restart_unless_in_a_window() -> None:
    for arguments, added in (({}, 1), ({"cache_ttl": 1000}, 0)):
        before = node({}, **arguments)
        publish(before, "a")
        bodies(before)
        assert publish(before.crash(), "a") == added


def test_window_goes_on_over_a_restart_and_ends_on_time() -> None:
    before = node({}, cache_ttl=1000)
    publish(before, "a")
    before.clock.advance(999)
    after = before.crash()
    assert publish(after, "a") == 0
    after.clock.advance(1)
    again = after.crash()
    assert publish(again, "a") == 1
    assert publish(again.crash(), "a") == 0


def test_ids_in_memory_and_those_of_transient_messages_end_with_the_broker() -> None:
    before = node({}, cache_ttl=1000, cache_persistence="memory")
    publish(before, "a")
    assert publish(before.crash(), "a") == 1
    before = node({}, cache_ttl=1000)
    publish(before, "a", delivery_mode=1)
    assert publish(before, "a") == 0
    assert publish(before.crash(), "a") == 1


def test_unsynced_message_and_its_id_are_lost_together() -> None:
    before = node({}, cache_ttl=1000)
    queue = before.broker.vhosts["/"].queues["q"]
    queue.publish(message("a"))
    after = before.crash()
    assert depth(after, "q") == 0
    assert publish(after, "a") == 1


@pytest.mark.parametrize("arguments", [{}, {"cache_ttl": 10**9}], ids=["queue", "window"])
def test_compaction_moves_ids_and_forgets_free_ones(arguments: dict[str, Any]) -> None:
    before = node({}, **arguments)
    before.persistence.log.segment_bytes = 4_000
    queue = before.broker.vhosts["/"].queues["q"]
    publish(before, "kept", "old")
    kept = get(queue)
    for number in range(200):
        queue.ack(get(queue))
        publish(before, f"{number:0300}")
    assert before.persistence.log.oldest > 2
    queue.requeue([kept])
    last = f"{199:0300}"
    after = before.crash()
    assert publish(after, "kept", last, "old") == (0 if arguments else 1)
    again = after.crash()
    assert publish(again, "kept", last, "old") == 0
    assert sorted(bodies(again)) == sorted(["kept", last] + ([] if arguments else ["old"]))


def test_ids_of_a_deleted_queue_do_not_hold_segments() -> None:
    before = node({}, cache_ttl=10**9)
    publish(before, *[f"{number}" for number in range(100)])
    vhost = before.broker.vhosts["/"]
    vhost.delete_queue(vhost.queues["q"])
    before.broker.sync()
    assert before.persistence.log.living.size_bytes == 0


def test_expired_ids_do_not_hold_segments() -> None:
    before = node({}, cache_ttl=1000)
    publish(before, *[f"{number}" for number in range(100)])
    bodies(before)
    assert before.persistence.log.living.size_bytes > 0
    before.clock.advance(3000)
    before.broker.sync()
    assert before.persistence.log.living.size_bytes == 0


def test_purged_pages_free_their_ids() -> None:
    pages = {"page_count": 4, "read_count": 2}
    before = Node(limits=pages, q=table(message_deduplication=True))
    ids = [f"{number}" for number in range(50)]
    publish(before, *ids)
    queue = before.broker.vhosts["/"].queues["q"]
    queue.purge()
    assert publish(before, *ids) == 50
    after = before.crash()
    assert publish(after, *ids) == 0
    after.broker.vhosts["/"].queues["q"].purge()
    assert publish(after, *ids) == 50


def test_id_that_outlived_its_message_is_not_that_of_a_later_message() -> None:
    before = node({})
    publish(before, "a")
    queue = before.broker.vhosts["/"].queues["q"]
    assert isinstance(queue, DeduplicatingQueue)
    ids = queue.queued_ids
    assert ids is not None
    ids.discard()  # as if the machine had failed between the records of the message and of its id
    queue.ack(get(queue))
    before.broker.sync()
    after = before.crash()
    queue = after.broker.vhosts["/"].queues["q"]
    assert queue.publish(message(None))
    after.broker.sync()
    again = after.crash()
    assert publish(again, "a") == 1


def test_timer_of_the_window_stops_with_the_queue(vhost: Vhost) -> None:
    queue = declare(vhost, cache_ttl=1000)
    send(queue, "a")
    clock = vhost.clock
    assert isinstance(clock, ManualClock)
    assert clock.next_due_ms() is not None
    vhost.delete_queue(queue)
    assert clock.next_due_ms() is None


# --- many ids at once -------------------------------------------------------------------------------------------------


def removed_ids(vhost: Vhost, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return a list of the ids that are removed from the store from now on."""
    removed: list[bytes] = []
    monkeypatch.setattr(vhost.store, "remove_id", lambda taken: removed.append(taken.key))
    return removed


@pytest.mark.skipif(is_compiled(), reason="methods of compiled classes cannot be replaced")
@pytest.mark.parametrize("scope", ["queue", "window"])
def test_ids_of_a_deleted_queue_are_removed_in_slices(scope: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vhost = make_broker(bounds=BOUNDS._replace(deferred_free=10)).vhosts["/"]
    arguments = {"deduplication_scope": "window"} if scope == "window" else {}
    queue = declare(vhost, durable=True, **arguments)
    assert send(queue, *map(str, range(25))) == 25
    # Otherwise the messages leave first.
    assert len([get(queue) for _ in range(25)]) == 25
    removed = removed_ids(vhost, monkeypatch)
    vhost.delete_queue(queue)
    counts = [len(removed)]
    while len(removed) < 25:
        clock_of(vhost).fire_due()
        counts.append(len(removed))
    assert counts == [0, 10, 20, 25]


def test_ids_of_purged_messages_are_free_at_once() -> None:
    vhost = make_broker(bounds=BOUNDS._replace(deferred_free=10)).vhosts["/"]
    queue = declare(vhost, durable=True)
    send(queue, *map(str, range(25)))
    get(queue)
    assert queue.purge() == 24
    assert send(queue, "0", "7", "7", "24") == 2
    assert ready(queue) == [b"7", b"24"]
    clock_of(vhost).advance(0)
    assert send(queue, "7", "8") == 1
