"""x-last-value-key: a newer message replaces the ready one with the same key, in every kind of queue."""

from typing import Any

import pytest

from amqpbroker.broker.policies.policies import Policy
from amqpbroker.broker.queues.last_value.queue import LastValueQueue
from amqpbroker.broker.queues.lines.read_retry import RETRY_MS
from amqpbroker.broker.vhost import Vhost
from amqpbroker.config import Config
from amqpbroker.config.bounds import Bounds
from amqpbroker.errors import AmqpError
from amqpbroker.message.message import Message, encode_address
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, Table, longstr
from tests.broker.death_tables import deaths_of
from tests.broker.queueing import Subscriber, Ticking, clock_of, get, ready, reasons, table, with_graves
from tests.broker.queueing import declare as declare_plain
from tests.broker.queues.lines.test_paging import Node as PagingNode
from tests.broker.storing import Node, StepCommitter, bodies, crashed_copy, depth, finish, node_with
from tests.fault_files import FlakyFiles
from tests.harness import make_broker

KEY = "device"

#: Every kind of queue, and single active consumer, which have their own ways of delivering messages.
KINDS = pytest.mark.parametrize(
    "kind",
    [{}, {"queue_type": "quorum"}, {"max_priority": 3}, {"single_active_consumer": True}],
    ids=["classic", "quorum", "priority", "single-active"],
)
STORED_KINDS = pytest.mark.parametrize(
    "kind", [{}, {"queue_type": "quorum"}, {"max_priority": 3}], ids=["classic", "quorum", "priority"]
)


def arguments(**more: Any) -> Table:
    return table(last_value_key=KEY, **more)


def declare(vhost: Vhost, name: str = "q", **more: Any) -> LastValueQueue:
    durable = more.get("queue_type") == "quorum"
    queue = vhost.declare_queue(name, durable, False, False, arguments(**more))
    assert isinstance(queue, LastValueQueue)
    return queue


def message(
    text: str, priority: int = 0, expiration_ms: int = -1, persistent: bool = True, **headers: Field
) -> Message:
    """Return a message "a1": the first letter is its key. It has none if that is "-"."""
    if text[0] != "-":
        headers = {KEY: longstr(text[0]), **headers}
    properties: dict[str, Any] = {"headers": headers, "delivery_mode": 2 if persistent else 1}
    if priority:
        properties["priority"] = priority
    made = Message(encode_address("", b"q"), encode_properties(properties), text.encode())
    made.persistent = persistent
    made.priority = priority
    made.expiration_ms = expiration_ms
    made.undecoded = True
    return made


def send(queue: LastValueQueue, *texts: str, **options: Any) -> None:
    for text in texts:
        assert queue.publish(message(text, **options))


def texts(queue: LastValueQueue) -> list[str]:
    """Return the waiting messages, head first, after checking that nothing is counted wrongly."""
    found = [body.decode() for body in ready(queue)]
    assert queue.ready.count == len(found) == queue.ready_count
    assert queue.ready.size == sum([len(text) for text in found])
    keys = [text[0] for text in found if text[0] != "-"]
    assert len(set(keys)) == len(keys)
    return found


# --- replacement ------------------------------------------------------------------------------------------------------


@KINDS
def test_newer_message_takes_the_position_of_the_ready_one_of_its_key(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    send(queue, "a1", "b1", "-1", "a2", "-2", "b2", "a3")
    assert texts(queue) == ["a3", "b2", "-1", "-2"]
    assert queue.replaced == 3
    assert [get(queue).message.body for _ in range(4)] == [b"a3", b"b2", b"-1", b"-2"]


@KINDS
def test_newer_message_goes_to_the_tail_if_declared_so(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, last_value_position="tail", **kind)
    send(queue, "a1", "b1", "a2", "c1", "b2")
    assert texts(queue) == ["a2", "c1", "b2"]
    assert queue.replaced == 2


@KINDS
def test_delivered_message_is_kept_and_the_next_one_of_its_key_waits(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    consumer = Subscriber(queue, limit=1).subscribe()
    send(queue, "a1", "a2", "a3")
    assert consumer.take() == [b"a1"]
    assert texts(queue) == ["a3"]
    consumer.ack()
    assert consumer.take() == [b"a3"]
    consumer.ack()
    assert (queue.ready_count, queue.unacked_count, len(queue.values)) == (0, 0, 0)


@KINDS
def test_returned_message_is_dropped_while_a_newer_one_of_its_key_waits(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    consumer = Subscriber(queue, limit=1).subscribe()
    send(queue, "a1", "b1", "a2")
    consumer.limit = 0
    consumer.requeue()
    assert texts(queue) == ["b1", "a2"]
    assert queue.replaced == 1
    assert (queue.unacked_count, queue.values.newest(b"Sa")) == (0, queue.values.ready(b"Sa")[0])


@KINDS
def test_messages_of_a_lost_channel_return_without_the_older_ones_of_a_key(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    consumer = Subscriber(queue).subscribe()
    send(queue, "a1", "b1", "a2", "-1", "a3")
    consumer.limit = 0
    held, consumer.held = consumer.held, []
    queue.reclaim(held)
    assert texts(queue) == ["b1", "-1", "a3"]
    assert queue.replaced == 2


@KINDS
def test_returned_message_is_dropped_while_a_newer_one_is_delivered(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    consumer = Subscriber(queue, limit=2).subscribe()
    send(queue, "a1", "a2")
    consumer.limit = 0
    consumer.requeue()
    assert texts(queue) == []
    consumer.requeue()
    assert texts(queue) == ["a2"]


@KINDS
def test_returned_message_becomes_ready_if_no_newer_one_is_left(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    consumer = Subscriber(queue, limit=2).subscribe()
    send(queue, "a1", "a2")
    first = consumer.held.pop(0)
    consumer.ack()
    consumer.limit = 0
    queue.requeue([first])
    assert texts(queue) == ["a1"]
    send(queue, "a3")
    assert texts(queue) == ["a3"]


@KINDS
def test_newer_message_takes_the_position_of_a_returned_one(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    consumer = Subscriber(queue, limit=1).subscribe()
    send(queue, "a1", "b1")
    consumer.limit = 0
    consumer.requeue()
    send(queue, "a2")
    assert texts(queue) == ["a2", "b1"]
    assert not get(queue).redelivered


def test_message_that_goes_to_the_end_of_an_unlimited_quorum_queue_does_not_become_newer(vhost: Vhost) -> None:
    queue = declare(vhost, queue_type="quorum", delivery_limit=-1)
    consumer = Subscriber(queue, limit=1).subscribe()
    send(queue, "a1", "b1", "a2")
    consumer.limit = 0
    consumer.requeue()
    assert texts(queue) == ["b1", "a2"]
    consumer.relimit(1)
    consumer.limit = 0
    consumer.requeue()
    assert texts(queue) == ["a2", "b1"]
    send(queue, "b2")
    assert texts(queue) == ["a2", "b2"]


@KINDS
def test_purge_and_consumption_forget_the_keys(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    send(queue, "a1", "b1", "a2")
    assert queue.purge() == 2
    assert len(queue.values) == 0
    send(queue, "a3")
    get(queue, no_ack=True)
    assert len(queue.values) == 0
    send(queue, "a4")
    assert texts(queue) == ["a4"]
    assert queue.replaced == 1


def test_values_of_the_header_are_equal_if_type_and_bytes_are(vhost: Vhost) -> None:
    queue = declare(vhost)
    for field in (longstr("1"), Field("l", 1), Field("t", True), longstr(b"\xff"), longstr("1")):
        assert queue.publish(message("-x", **{KEY: field}))
    assert queue.ready_count == 4
    assert queue.publish(message("-x", **{KEY: Field("V", None)}))
    assert queue.publish(message("-x", **{KEY: Field("V", None)}))
    assert queue.ready_count == 6


def test_other_queues_are_not_such_queues(vhost: Vhost) -> None:
    assert not isinstance(declare_plain(vhost), LastValueQueue)


@KINDS
def test_counters_add_up(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    send(queue, "a1", "a2", "b1", "a3")
    consumer = Subscriber(queue).subscribe()
    consumer.ack(2)
    stats = queue.message_stats()
    assert (stats["publish"], stats["ack"], stats["deliver"]) == (4, 2, 2)


# --- priorities -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [{"max_priority": 9}, {"queue_type": "quorum"}], ids=["priority", "quorum"])
def test_priority_of_the_newer_message_decides_its_place(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    send(queue, "a1", "b1")
    send(queue, "c1", priority=5)
    send(queue, "b2", priority=5)
    assert texts(queue)[:2] == ["c1", "b2"]
    send(queue, "b3")
    send(queue, "c2", priority=5)
    assert sorted(texts(queue)) == ["a1", "b3", "c2"]
    assert texts(queue).index("a1") < texts(queue).index("b3")


# --- limits -----------------------------------------------------------------------------------------------------------


def test_maximum_length_counts_what_is_there(vhost: Vhost) -> None:
    queue = declare(vhost, max_length=2)
    send(queue, "a1", "b1", "a2", "b2", "a3")
    assert texts(queue) == ["a3", "b2"]
    send(queue, "c1")
    assert texts(queue) == ["b2", "c1"]


@KINDS
def test_full_queue_that_refuses_messages_accepts_a_replacement(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, max_length=2, overflow="reject-publish", **kind)
    while queue.publish(message(chr(ord("a") + queue.ready_count) + "1")):
        pass
    count = queue.ready_count
    assert queue.publish(message("b2"))
    assert not queue.publish(message("z1"))
    assert queue.ready_count == count
    assert "b2" in texts(queue)


@KINDS
def test_limit_in_bytes_counts_only_the_difference(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, max_length_bytes=10, overflow="reject-publish", **kind)
    send(queue, "a12345", "b123")
    assert not queue.publish(message("a123456"))
    assert texts(queue) == ["a12345", "b123"]
    send(queue, "a1", "b1234567")
    assert texts(queue) == ["a1", "b1234567"]


@KINDS
def test_transaction_is_refused_only_if_a_queue_would_grow_too_much(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, max_length=2, max_length_bytes=99, overflow="reject-publish", **kind)
    while queue.publish(message(chr(ord("a") + queue.ready_count) + "1")):
        pass
    assert queue.demand(message("a2")) == (0, 0)
    assert queue.demand(message("a234")) == (0, 2)
    assert not queue.refuses(0, 0)
    assert queue.demand(message("z2")) == (1, 2)
    assert queue.refuses(1, 2)
    assert texts(queue)[0] == "a1"


# --- expiry -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["head", "any"])
@KINDS
def test_deadline_of_a_replaced_message_has_no_effect(vhost: Vhost, kind: dict[str, Any], mode: str) -> None:
    queue = declare(vhost, message_ttl_mode=mode, **kind)
    send(queue, "a1", expiration_ms=100)
    send(queue, "a2", "b1", expiration_ms=300)
    assert queue.expiry.count == 2
    clock_of(vhost).advance(200)
    assert texts(queue) == ["a2", "b1"]
    send(queue, "b2")
    clock_of(vhost).advance(200)
    assert texts(queue) == ["b2"]
    assert queue.expiry.count == 0


def test_message_with_an_equal_deadline_expires(vhost: Vhost) -> None:
    queue = declare(vhost, message_ttl_mode="any")
    consumer = Subscriber(queue, limit=1).subscribe()
    send(queue, "a1", expiration_ms=100)
    consumer.limit = 0
    consumer.requeue()
    send(queue, "a2", expiration_ms=100)
    clock_of(vhost).advance(100)
    assert texts(queue) == []


# --- delayed messages -------------------------------------------------------------------------------------------------


@KINDS
def test_delayed_return_is_dropped_when_it_is_due_if_a_newer_message_waits(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, delayed_retry_type="all", delayed_retry_min=100, **kind)
    consumer = Subscriber(queue, limit=1).subscribe()
    send(queue, "a1")
    consumer.limit = 0
    consumer.requeue()
    assert queue.delayed_count == 1
    send(queue, "a2", "a3")
    assert (texts(queue), queue.replaced) == (["a3"], 1)
    clock_of(vhost).advance(100)
    assert (texts(queue), queue.replaced, queue.delayed_count) == (["a3"], 2, 0)


@KINDS
def test_scheduled_message_replaces_an_older_one_and_is_replaced_by_a_newer_one(
    vhost: Vhost, kind: dict[str, Any]
) -> None:
    queue = declare(vhost, delivery_time_header="at", **kind)
    now_ms = clock_of(vhost).wall_ms()
    send(queue, "a1", "b1", "c1")
    send(queue, "a2", "b2", at=Field("l", now_ms + 100))
    assert texts(queue) == ["a1", "b1", "c1"]
    send(queue, "b3")
    # A later message takes no position that would make it older than the scheduled one.
    assert texts(queue) == ["a1", "c1", "b3"]
    clock_of(vhost).advance(100)
    assert sorted(texts(queue)) == ["a2", "b3", "c1"]


@KINDS
@pytest.mark.parametrize("in_ms", range(1, 6))
def test_message_whose_time_comes_while_it_is_published_replaces_the_older_one(
    kind: dict[str, Any], in_ms: int
) -> None:
    ticking = Ticking()
    queue = declare(make_broker(ticking.clock).vhosts["/"], delivery_time_header="at", **kind)
    send(queue, "a1")
    send(queue, "a2", at=Field("l", ticking.clock.wall_ms() + in_ms))
    ticking.advance(100)
    assert (texts(queue), queue.replaced) == (["a2"], 1)


@KINDS
def test_purge_forgets_delayed_messages(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, delayed_retry_type="all", delayed_retry_min=100, **kind)
    consumer = Subscriber(queue).subscribe()
    send(queue, "a1")
    consumer.limit = 0
    consumer.requeue()
    assert queue.purge() == 1
    assert len(queue.values) == 0


# --- dead letters -----------------------------------------------------------------------------------------------------


@KINDS
def test_replaced_message_is_dead_lettered_only_on_demand(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue, grave = with_graves(vhost, last_value_key=KEY, **kind)
    assert isinstance(queue, LastValueQueue)
    send(queue, "a1", "a2")
    assert reasons(grave) == []
    kept, grave = with_graves_named(vhost, last_value_dead_letter=True, **kind)
    consumer = Subscriber(kept, limit=1).subscribe()
    send(kept, "a1", "b1", "b2", "a2")
    consumer.limit = 0
    consumer.requeue()
    assert reasons(grave) == [(b"b1", "replaced"), (b"a1", "replaced")]
    death = deaths_of(next(iter(grave.ready)).message)[0]
    assert (death.queue, death.count) == ("kept", 1)


def with_graves_named(vhost: Vhost, **more: Any) -> tuple[LastValueQueue, Any]:
    grave = vhost.queues["grave"]
    return declare(vhost, "kept", dead_letter_exchange="", dead_letter_routing_key="grave", **more), grave


def test_dead_letter_of_a_replaced_message_does_not_return_to_its_queue(vhost: Vhost) -> None:
    queue = declare(vhost, dead_letter_exchange="", last_value_dead_letter=True)
    send(queue, "a1", "a2")
    assert texts(queue) == ["a2"]


# --- moves ------------------------------------------------------------------------------------------------------------


def test_moved_message_is_older_than_a_published_one_and_newer_than_one_moved_before(vhost: Vhost) -> None:
    source, queue = declare_plain(vhost, "source"), declare(vhost)
    send(queue, "a9")
    for text in ("a1", "b1", "b2", "-1", "-2"):
        source.publish(message(text))
    assert source.move(queue, 9, 999) == 5
    assert texts(queue) == ["a9", "b2", "-1", "-2"]
    assert queue.replaced == 2
    send(queue, "b3")
    source.publish(message("b2"))
    source.move(queue, 9, 999)
    assert texts(queue) == ["a9", "b3", "-1", "-2"]


@KINDS
def test_moved_message_that_is_delivered_is_older_than_one_moved_after_it(vhost: Vhost, kind: dict[str, Any]) -> None:
    source, queue = declare_plain(vhost, "source"), declare(vhost, **kind)
    worker = Subscriber(queue).subscribe()
    for text in ("a1", "a2"):
        source.publish(message(text))
    assert source.move(queue, 9, 999) == 2
    assert [body for body, _ in worker.got] == [b"a1", b"a2"]


def test_published_message_that_takes_the_place_of_a_moved_one_is_newer_than_one_moved_after_it(vhost: Vhost) -> None:
    source, queue = declare_plain(vhost, "source"), declare(vhost)
    source.publish(message("a1"))
    source.move(queue, 9, 999)
    send(queue, "a9")
    source.publish(message("a2"))
    source.move(queue, 9, 999)
    assert texts(queue) == ["a9"]


def test_moved_messages_that_have_left_are_forgotten(vhost: Vhost) -> None:
    source, queue = declare_plain(vhost, "source"), declare(vhost)
    for number in range(300):
        source.publish(message("a1"))
        source.publish(message(f"{chr(number + 300)}1"))
        source.move(queue, 9, 999)
        get(queue, no_ack=True)
        get(queue, no_ack=True)
    assert len(queue.values) == 0
    assert len(queue.values._moved) <= 65


# --- arguments --------------------------------------------------------------------------------------------------------


def test_name_of_the_argument_in_qpid(vhost: Vhost) -> None:
    queue = vhost.declare_queue("q", False, False, False, {"qpid.last_value_queue_key": longstr(KEY)})
    assert isinstance(queue, LastValueQueue)
    send(queue, "a1", "a2")
    assert texts(queue) == ["a2"]


@pytest.mark.parametrize(
    ("given", "name", "problem"),
    [
        ({"last_value_key": ""}, "x-last-value-key",
         "expected the name of a header, 1 to 255 bytes"),
        ({"last_value_key": 1}, "x-last-value-key", "expected the name of a header as a string, got long"),
        ({"last_value_position": "tail"}, "x-last-value-position",
         "has no effect without x-last-value-key, the name of the header that has the key"),
        ({"last_value_dead_letter": True}, "x-last-value-dead-letter",
         "has no effect without x-last-value-key, the name of the header that has the key"),
        ({"last_value_key": "k", "last_value_position": "head"}, "x-last-value-position",
         "expected 'old' or 'tail', got 'head'"),
        ({"last_value_key": "k", "last_value_dead_letter": 1}, "x-last-value-dead-letter",
         "expected true or false as a boolean, got long"),
        ({"last_value_key": "k", "message_deduplication": True}, "x-last-value-key",
         "a queue drops duplicates or replaces messages: leave out x-message-deduplication or this"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused(vhost: Vhost, given: dict[str, Any], name: str, problem: str) -> None:
    with pytest.raises(AmqpError, match="invalid arg") as refused:
        vhost.declare_queue("q", False, False, False, table(**given))
    assert f"invalid arg '{name}' for queue 'q' in vhost '/': \"{problem}\"" in str(refused.value)


def test_both_names_of_the_argument_are_refused(vhost: Vhost) -> None:
    both = {"x-last-value-key": longstr("k"), "qpid.last_value_queue_key": longstr("k")}
    with pytest.raises(AmqpError, match="are the same: leave out one of them"):
        vhost.declare_queue("q", False, False, False, both)


def test_policy_that_changes_limits_keeps_the_keys(vhost: Vhost) -> None:
    queue = declare(vhost)
    send(queue, "a1", "b1")
    vhost.policies.put(Policy("/", "p", "^q$", {"message-ttl-mode": "any", "max-length": 5}, "queues"))
    send(queue, "a2")
    assert texts(queue) == ["a2", "b1"]


# --- stored messages --------------------------------------------------------------------------------------------------


def queue_of(node: Node, name: str = "q") -> LastValueQueue:
    queue = node.broker.vhosts["/"].queues[name]
    assert isinstance(queue, LastValueQueue)
    return queue


def sync(node: Node) -> None:
    node.broker.sync()


@pytest.mark.parametrize("position", ["old", "tail"])
@STORED_KINDS
def test_last_message_of_each_key_survives_a_crash(kind: dict[str, Any], position: str) -> None:
    node = Node(q=arguments(last_value_position=position, **kind))
    for text in ("a1", "b1", "a2", "c1", "b2", "a3"):
        send(queue_of(node), text)
        if text in ("b1", "c1"):
            sync(node)
    sync(node)
    before = texts(queue_of(node))
    assert before == (["a3", "b2", "c1"] if position == "old" else ["c1", "b2", "a3"])
    again = node.crash()
    assert texts(queue_of(again)) == before
    send(queue_of(again), "c2", "a4")
    assert texts(queue_of(again)) == (["a4", "b2", "c2"] if position == "old" else ["b2", "c2", "a4"])
    again.broker.sync()
    assert sorted(texts(queue_of(again.crash()))) == ["a4", "b2", "c2"]


@STORED_KINDS
def test_superseded_message_that_was_delivered_is_dropped_after_a_crash(kind: dict[str, Any]) -> None:
    node = Node(q=arguments(**kind))
    queue = queue_of(node)
    send(queue, "a1")
    get(queue)
    send(queue, "b1", "a2")
    get(queue)
    sync(node)
    again = node.crash()
    assert sorted(texts(queue_of(again))) == ["a2", "b1"]
    assert queue_of(again).replaced == 1
    again.broker.sync()
    third = again.crash()
    assert sorted(texts(queue_of(third))) == ["a2", "b1"]
    assert queue_of(third).replaced == 0


@STORED_KINDS
def test_superseded_messages_are_dead_lettered_in_their_order_after_a_crash(kind: dict[str, Any]) -> None:
    letters = {"dead_letter_exchange": "", "dead_letter_routing_key": "dead", "last_value_dead_letter": True}
    node = Node(q=arguments(**kind, **letters), dead={})
    queue = queue_of(node)
    send(queue, "a1", "b1")
    get(queue)
    get(queue)
    send(queue, "b2", "a2")
    sync(node)
    again = node.crash()
    assert sorted(texts(queue_of(again))) == ["a2", "b2"]
    assert bodies(again, "dead") == ["a1", "b1"]


@STORED_KINDS
def test_superseded_message_that_expires_with_the_letter_of_another_is_dropped_after_a_crash(
    kind: dict[str, Any],
) -> None:
    """The letter of a1 replaces a0 in the other queue, whose letter comes back, and with it b1 would expire."""
    letters = {"dead_letter_exchange": "", "last_value_dead_letter": True}
    node = Node(
        q=arguments(message_ttl_mode="any", dead_letter_routing_key="other", **kind, **letters),
        other=arguments(dead_letter_routing_key="q", **letters),
    )
    send(queue_of(node, "other"), "a0")
    queue = queue_of(node)
    send(queue, "a1")
    send(queue, "b1", expiration_ms=5)
    get(queue)
    get(queue)
    send(queue, "b2", "a2")
    sync(node)
    node.clock.advance(10)
    again = node.crash()
    assert sorted(texts(queue_of(again))) == ["a0", "b2"]


@pytest.mark.parametrize("position", ["old", "tail"])
def test_crash_between_two_batches_loses_no_key(position: str) -> None:
    """Replacements of one iteration are spread over several batches, each of which may be the last."""
    node = node_with({"batch_bytes": 100, "group_bytes": 100}, q=arguments(last_value_position=position))
    send(queue_of(node), "a1", "b1", "c1")
    sync(node)
    finish(node)
    for number in range(2, 12):
        send(queue_of(node), *[f"{key}{number}" * 9 for key in "abc"])
    sync(node)
    steps = 0
    while True:
        found = texts(queue_of(crashed_copy(node)))
        assert sorted(text[0] for text in found) == ["a", "b", "c"]
        if not node.committer.work:
            break
        node.committer.finish()
        steps += 1
    assert steps > 1
    assert sorted(text[:3] for text in found) == ["a11", "b11", "c11"]


# --- pages ------------------------------------------------------------------------------------------------------------

PAGES = Bounds(page_count=2, read_count=2, least_page_count=1)


class PagedNode(Node):
    config = Config(bounds=PAGES)


class LowNode(PagingNode):
    bounds = PAGES


def keys(count: int) -> list[str]:
    return [chr(ord("A") + number) for number in range(count)]


@pytest.mark.parametrize("position", ["old", "tail"])
@STORED_KINDS
def test_message_on_disk_is_replaced_at_its_place(kind: dict[str, Any], position: str) -> None:
    node = PagedNode(q=arguments(last_value_position=position, **kind))
    queue = queue_of(node)
    for key in keys(20):
        send(queue, key + "1")
        sync(node)
    assert queue.ready.paged_out > 8
    expected = [key + "1" for key in keys(20)]
    for step, key in enumerate("JKAJTLMC"):
        new = f"{key}{step + 2}"
        send(queue, new)
        index = next(index for index, text in enumerate(expected) if text[0] == key)
        if position == "old":
            expected[index] = new
        else:
            expected.remove(expected[index])
            expected.append(new)
        assert texts(queue) == expected
        if step % 3 == 2:
            sync(node)
    sync(node)
    assert queue.ready.paged_out > 8
    assert texts(queue) == expected
    again = node.crash()
    assert texts(queue_of(again)) == expected
    assert bodies(again) == expected
    assert depth(again, "q") == 0


def test_replacements_in_a_page_leave_memory_when_they_are_safe() -> None:
    node = PagedNode(committer=StepCommitter, q=arguments())
    queue = queue_of(node)
    for key in keys(24):
        send(queue, key + "1")
    sync(node)
    finish(node)
    paged = queue.ready.paged_out
    assert paged >= 12
    send(queue, "J2", "K2")
    assert queue.ready.paged_out == paged - 2
    assert texts(queue)[9:11] == ["J2", "K2"]
    sync(node)
    finish(node)
    assert queue.ready.paged_out == paged
    assert texts(queue)[9:11] == ["J2", "K2"]


@pytest.mark.parametrize("persistent", [True, False])
@STORED_KINDS
def test_messages_are_replaced_while_memory_is_low(kind: dict[str, Any], persistent: bool) -> None:
    node = LowNode(last_value_key=KEY, **kind)
    queue = node.queue
    expected = []
    for number, key in enumerate(keys(20)):
        send(queue, key + "1", persistent=bool(number % 3))
        expected.append(key + "1")
    node.log.sync()
    node.page_out()
    assert queue.ready.paged_out >= 16
    for index in (4, 3, 9, 4, 12, 3):
        expected[index] = expected[index][0] + "2" + expected[index][1:]
        send(queue, expected[index], persistent=persistent)
        assert texts(queue) == expected
    node.log.sync()
    node.page_out()
    assert queue.ready.paged_out >= 16
    assert texts(queue) == expected
    taken = node.take(99)
    assert [entry.message.body.decode() for entry in taken] == expected
    queue.ack_all(taken)
    assert queue.ledger.persistent == 0
    assert [path for path in node.files.contents if path.parent == node.spill.directory] == []


def test_message_that_cannot_be_read_is_not_replaced_but_precedes_the_newer_one() -> None:
    files = FlakyFiles()
    node = PagedNode(files, q=arguments())
    queue = queue_of(node)
    for key in keys(20):
        send(queue, key + "1")
        sync(node)
    files.share = 1.0
    send(queue, "J2")
    files.share = 0.0
    node.clock.advance(RETRY_MS)
    assert queue.ready_count == 21
    send(queue, "J3")
    found = bodies(node)
    assert found == [*[key + "1" for key in keys(20)], "J3"]
