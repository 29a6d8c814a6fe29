import sys

import pytest

from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.vhost import Vhost
from amqpbroker.config.bounds import BOUNDS
from tests.broker.death_tables import deaths_of
from tests.broker.queueing import (
    Subscriber,
    clock_of,
    declare,
    get,
    publish,
    ready,
    reasons,
    with_graves,
)

# --- order ------------------------------------------------------------------------------------------------------------


def test_consumer_that_acks_gets_the_next_ready_message(vhost: Vhost) -> None:
    queue = declare(vhost)
    a, b = Subscriber(queue, "a", 1).subscribe(), Subscriber(queue, "b", 1).subscribe()
    publish(queue, *[b"%d" % i for i in range(5)])
    assert ready(queue) == [b"2", b"3", b"4"]
    b.ack()
    b.ack()
    a.ack()
    assert (a.bodies, b.bodies) == ([b"0", b"4"], [b"1", b"2", b"3"])


def test_consumer_that_acks_several_messages_gets_as_many_new_ones(vhost: Vhost) -> None:
    queue = declare(vhost)
    a, b = Subscriber(queue, "a", 3).subscribe(), Subscriber(queue, "b", 1).subscribe()
    publish(queue, *[b"%d" % i for i in range(8)])
    assert (a.take(), b.take()) == ([b"0", b"2", b"3"], [b"1"])
    a.ack_all(2)
    assert (a.take(), b.take()) == ([b"4", b"5"], [])
    assert (ready(queue), queue.unacked_count, a.unacked) == ([b"6", b"7"], 4, 3)


@pytest.mark.parametrize("priority", [0, 1])
def test_consumer_blocked_while_a_message_waited_moves_behind_its_priority(vhost: Vhost, priority: int) -> None:
    queue = declare(vhost)
    publish(queue, b"1", b"2")
    small = Subscriber(queue, "small", 1, priority=priority).subscribe()
    large = Subscriber(queue, "large").subscribe()
    assert (small.take(), large.take()) == ([b"1"], [b"2"])
    small.ack()
    publish(queue, b"3", b"4")
    assert (small.take(), large.take()) == (([b"4"], [b"3"]) if not priority else ([b"3"], [b"4"]))


def test_quorum_consumer_filled_while_a_message_waited_moves_to_the_end(vhost: Vhost) -> None:
    queue = declare(vhost, queue_type="quorum")
    publish(queue, b"1")
    publish(queue, b"2", expiration_ms=10)
    clock_of(vhost).advance(10)
    a = Subscriber(queue, "a", 1).subscribe()
    b = Subscriber(queue, "b", 1).subscribe()
    a.ack()
    publish(queue, b"3")
    assert (a.take(), b.take()) == ([b"1"], [b"3"])


@pytest.mark.parametrize("kind", ["classic", "quorum"])
@pytest.mark.parametrize("how", ["purge", "get", "expire"])
def test_consumer_blocked_by_prefetch_moves_to_end_of_round_robin(vhost: Vhost, kind: str, how: str) -> None:
    queue = declare(vhost, queue_type=kind)
    publish(queue, b"1")
    publish(queue, b"2", expiration_ms=10)
    a = Subscriber(queue, "a", 1).subscribe()
    if how == "purge":
        queue.purge()
    elif how == "get":
        queue.get(no_ack=True)
    else:
        clock_of(vhost).advance(10)
    b = Subscriber(queue, "b", 1).subscribe()
    a.requeue()
    assert (a.take(), b.take()) == ([b"1"], [b"1"])


def test_get_of_the_last_message_does_not_change_the_round_robin(vhost: Vhost) -> None:
    queue = declare(vhost)
    a, b = Subscriber(queue, "a").subscribe(), Subscriber(queue, "b").subscribe()
    assert queue.get(no_ack=True) is None
    assert queue.purge() == 0
    publish(queue, b"1", b"2", b"3")
    assert (a.take(), b.take()) == ([b"1", b"3"], [b"2"])


def test_quorum_queue_counts_holders_of_messages_as_consumers(vhost: Vhost) -> None:
    queue = declare(vhost, queue_type="quorum")
    publish(queue, *[b"%d" % i for i in range(6)])
    first, second = queue.get(no_ack=False), queue.get(no_ack=False)
    assert first is not None
    assert second is not None
    queue.get(no_ack=True)
    assert queue.reported_consumer_count == 2
    queue.ack(first)
    queue.requeue([second])
    assert queue.reported_consumer_count == 0
    one = Subscriber(queue, "one", 1).subscribe()
    queue.remove_consumer(one)
    assert queue.reported_consumer_count == 1
    one.ack()
    assert queue.reported_consumer_count == 0


def test_quorum_queue_does_not_report_waiting_consumers(vhost: Vhost) -> None:
    for kind, told in (("classic", 2), ("quorum", 1)):
        queue = declare(vhost, kind, queue_type=kind, single_active_consumer=True)
        assert queue.reported_consumer_count == 0
        for tag in "ab":
            Subscriber(queue, tag).subscribe()
        assert (queue.reported_consumer_count, queue.consumer_count, queue.info().consumers) == (told, 2, 2)


def test_messages_of_a_quorum_round_are_delivered_consumer_by_consumer(vhost: Vhost) -> None:
    queue = declare(vhost, queue_type="quorum")
    order: list[tuple[str, bytes]] = []

    class Recorder(Subscriber):
        def deliver(self, entry: Entry) -> None:
            order.append((self.tag, entry.message.body))
            super().deliver(entry)

    holder = Subscriber(queue, "holder").subscribe()
    publish(queue, *[b"%d" % i for i in range(5)])
    Recorder(queue, "b", 2).subscribe()
    Recorder(queue, "a", 2).subscribe()
    queue.remove_consumer(holder)
    holder.requeue(5)
    assert order == [("b", b"0"), ("b", b"2"), ("a", b"1"), ("a", b"3")]
    assert ready(queue) == [b"4"]
    assert queue.unacked_count == 4


def test_no_ack_consumer_of_a_quorum_queue_gets_its_prefetch_per_round(vhost: Vhost) -> None:
    queue = declare(vhost, queue_type="quorum")
    holder = Subscriber(queue, "holder").subscribe()
    publish(queue, b"1", b"2", b"3", b"4")
    hasty = Subscriber(queue, "hasty", 1, no_ack=True, priority=1).subscribe()
    slow = Subscriber(queue, "slow", 2).subscribe()
    queue.remove_consumer(holder)
    holder.requeue(4)
    assert (hasty.take(), slow.take()) == ([b"1", b"4"], [b"2", b"3"])
    publish(queue, b"5", b"6")
    assert hasty.take() == [b"5", b"6"]


def test_quorum_queue_delivers_several_rounds(vhost: Vhost) -> None:
    queue = declare(vhost, queue_type="quorum")
    holder = Subscriber(queue, "holder").subscribe()
    count = 2 * BOUNDS.round_count + 1
    publish(queue, *[b"%d" % i for i in range(count)])
    a, b = Subscriber(queue, "a").subscribe(), Subscriber(queue, "b").subscribe()
    queue.remove_consumer(holder)
    holder.requeue(count)
    assert len(a.take()) + len(b.take()) == count
    assert not queue.ready_count


def test_offer_delivers_to_a_consumer_that_can_take_more(vhost: Vhost) -> None:
    queue = declare(vhost)
    one = Subscriber(queue, limit=0).subscribe()
    publish(queue, b"1", b"2", b"3")
    assert one.bodies == []
    one.relimit(2)
    assert one.bodies == [b"1", b"2"]
    one.relimit(10)
    assert one.bodies == [b"1", b"2", b"3"]


def test_no_ack_delivery_is_settled(vhost: Vhost) -> None:
    queue = declare(vhost)
    publish(queue, b"1")
    one = Subscriber(queue, no_ack=True).subscribe()
    publish(queue, b"2")
    assert one.bodies == [b"1", b"2"]
    assert (queue.ready_count, queue.unacked_count, one.unacked) == (0, 0, 0)


def test_purge_drops_ready_messages_only(vhost: Vhost) -> None:
    queue, grave = with_graves(vhost)
    one = Subscriber(queue, limit=1).subscribe()
    publish(queue, b"1", b"2", b"3")
    assert queue.purge() == 2
    assert (queue.ready_count, queue.unacked_count, grave.ready_count) == (0, 1, 0)
    one.requeue()
    assert one.got == [(b"1", False), (b"1", True)]


# --- exclusive, single active, auto-delete ----------------------------------------------------------------------------


@pytest.mark.parametrize("settle", ["reject", "requeue"])
def test_quorum_active_consumer_is_replaced_after_its_last_requeue(vhost: Vhost, settle: str) -> None:
    queue = declare(vhost, queue_type="quorum", single_active_consumer=True)
    a = Subscriber(queue, "a", 1).subscribe()
    publish(queue, b"1", b"2")
    high = Subscriber(queue, "high", priority=9).subscribe()
    getattr(a, settle)()
    assert high.bodies == ([b"1", b"2"] if settle == "requeue" else [b"2"])


def test_auto_delete_queue_is_deleted_with_its_last_consumer(vhost: Vhost) -> None:
    queue = declare(vhost, auto_delete=True)
    a, b = Subscriber(queue, "a").subscribe(), Subscriber(queue, "b").subscribe()
    publish(queue, b"1")
    a.cancel()
    assert "q" in vhost.queues
    b.cancel()
    assert "q" not in vhost.queues
    assert (a.told_cancelled, b.told_cancelled) == (0, 0)


def test_auto_delete_queue_that_never_had_a_consumer_is_not_deleted(vhost: Vhost) -> None:
    queue = declare(vhost, auto_delete=True)
    publish(queue, b"1")
    get(queue)
    clock_of(vhost).advance(10**9)
    assert "q" in vhost.queues


def test_consumer_cancelled_twice_is_removed_once(vhost: Vhost) -> None:
    queue = declare(vhost, auto_delete=True)
    a, b = Subscriber(queue, "a").subscribe(), Subscriber(queue, "b").subscribe()
    a.cancel()
    a.cancel()
    assert queue.consumer_count == 1
    assert "q" in vhost.queues
    b.cancel()
    assert "q" not in vhost.queues


# --- settling ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settle", ["ack", "ack_all", "reject", "requeue"])
def test_each_settlement_is_counted_once(vhost: Vhost, settle: str) -> None:
    queue = declare(vhost)
    one = Subscriber(queue).subscribe()
    publish(queue, b"1", b"2", b"3")
    one.relimit(0)
    getattr(one, settle)(2)
    left = 2 if settle == "requeue" else 0
    assert (queue.unacked_count, one.unacked, queue.ready_count) == (1, 1, left)


@pytest.mark.parametrize("settle", ["ack", "ack_all", "reject", "requeue"])
def test_messages_of_a_cancelled_consumer_can_be_settled(vhost: Vhost, settle: str) -> None:
    queue = declare(vhost)
    one = Subscriber(queue).subscribe()
    publish(queue, b"1")
    one.cancel()
    getattr(one, settle)()
    assert (queue.unacked_count, one.unacked) == (0, 0)
    publish(queue, b"2")
    assert one.bodies == [b"1"]
    assert queue.ready_count == (2 if settle == "requeue" else 1)


@pytest.mark.parametrize("settle", ["ack", "ack_all", "reject", "requeue"])
def test_messages_of_basic_get_can_be_settled(vhost: Vhost, settle: str) -> None:
    queue = declare(vhost)
    publish(queue, b"1")
    entry = get(queue)
    queue.ack(entry) if settle == "ack" else getattr(queue, settle)([entry])
    assert queue.unacked_count == 0
    assert ready(queue) == ([b"1"] if settle == "requeue" else [])


@pytest.mark.parametrize("settle", ["ack", "ack_all", "reject", "requeue"])
def test_settling_messages_of_a_deleted_queue_is_harmless(vhost: Vhost, settle: str) -> None:
    queue, grave = with_graves(vhost)
    one = Subscriber(queue).subscribe()
    publish(queue, b"1", b"2")
    vhost.delete_queue(queue)
    assert one.told_cancelled == 1
    getattr(one, settle)(2)
    assert (queue.unacked_count, one.unacked, queue.ready_count, grave.ready_count) == (0, 0, 0, 0)


def test_requeued_message_returns_to_its_position_and_is_redelivered(vhost: Vhost) -> None:
    queue = declare(vhost)
    publish(queue, b"1", b"2", b"3", b"4")
    first, second, third = get(queue), get(queue), get(queue)
    queue.requeue([third])
    queue.requeue([first])
    assert ready(queue) == [b"1", b"3", b"4"]
    queue.requeue([second])
    one = Subscriber(queue).subscribe()
    assert one.got == [(b"1", True), (b"2", True), (b"3", True), (b"4", False)]


def test_quorum_queue_delivers_returned_messages_first_in_order(vhost: Vhost) -> None:
    queue = declare(vhost, queue_type="quorum")
    publish(queue, b"1", b"2", b"3", b"4")
    first, second, third = get(queue), get(queue), get(queue)
    queue.requeue([third])
    queue.requeue([second, first])
    one = Subscriber(queue).subscribe()
    assert one.got == [(b"3", True), (b"2", True), (b"1", True), (b"4", False)]


@pytest.mark.parametrize("no_ack", [False, True])
def test_direct_delivery_of_a_quorum_queue_advances_the_priority_order(vhost: Vhost, no_ack: bool) -> None:
    queue = declare(vhost, queue_type="quorum")
    one = Subscriber(queue, no_ack=no_ack).subscribe()
    publish(queue, b"1")
    one.cancel()
    publish(queue, b"normal")
    publish(queue, b"high", b"high", priority=5)
    assert [get(queue).message.body for _ in range(3)] == [b"high", b"normal", b"high"]


@pytest.mark.parametrize("no_ack", [False, True])
def test_direct_delivery_before_a_purge_does_not_advance_the_priority_order(vhost: Vhost, no_ack: bool) -> None:
    queue = declare(vhost, queue_type="quorum")
    one = Subscriber(queue, no_ack=no_ack).subscribe()
    publish(queue, b"1", b"2")
    one.cancel()
    queue.purge()
    publish(queue, b"normal")
    publish(queue, b"high", b"high", priority=5)
    assert [get(queue).message.body for _ in range(3)] == [b"high", b"high", b"normal"]


def test_direct_delivery_after_a_purge_advances_the_priority_order(vhost: Vhost) -> None:
    queue = declare(vhost, queue_type="quorum")
    one = Subscriber(queue).subscribe()
    publish(queue, b"1")
    queue.purge()
    publish(queue, b"2", b"3")
    one.cancel()
    publish(queue, b"normal")
    publish(queue, b"high", b"high", priority=5)
    assert [get(queue).message.body for _ in range(3)] == [b"normal", b"high", b"high"]


def test_priority_order_ignores_removed_messages_of_the_inherited_queue(vhost: Vhost) -> None:
    queue, heir = declare(vhost, queue_type="quorum"), declare(vhost, name="heir", queue_type="quorum")
    publish(queue, b"1")
    queue.ack(get(queue))
    publish(queue, b"normal")
    publish(queue, b"high", b"high", priority=5)
    heir.inherit(list(queue.ready_entries()))
    heir.recovered()
    assert [get(heir).message.body for _ in range(3)] == [b"high", b"high", b"normal"]


def test_requeued_messages_are_offered_to_all_consumers(vhost: Vhost) -> None:
    queue = declare(vhost)
    a = Subscriber(queue, "a").subscribe()
    publish(queue, b"1", b"2")
    b = Subscriber(queue, "b").subscribe()
    a.requeue(2)
    assert len(b.bodies) == 1
    assert len(a.bodies) == 3


@pytest.mark.parametrize(("kind", "no_ack", "left"), [("classic", False, 0), ("quorum", False, 1), ("quorum", True, 0)])
def test_expired_messages_behind_a_message_taken_by_basic_get_are_removed(
    vhost: Vhost, kind: str, no_ack: bool, left: int
) -> None:
    queue = declare(vhost, queue_type=kind)
    publish(queue, b"1")
    publish(queue, b"expires", expiration_ms=0)
    clock_of(vhost).advance(1)
    get(queue, no_ack)
    assert queue.ready_count == left
    clock_of(vhost).advance(0)
    assert queue.ready_count == 0


# --- TTL --------------------------------------------------------------------------------------------------------------


def test_message_expires_at_its_deadline(vhost: Vhost) -> None:
    queue, grave = with_graves(vhost, message_ttl=1000)
    publish(queue, b"1")
    clock_of(vhost).advance(999)
    assert (queue.ready_count, grave.ready_count) == (1, 0)
    clock_of(vhost).advance(1)
    assert (queue.ready_count, reasons(grave)) == (0, [(b"1", "expired")])


@pytest.mark.parametrize(("queue_ms", "message_ms", "least"), [(1000, 400, 400), (400, 1000, 400), (None, 400, 400)])
def test_smaller_of_ttl_and_expiration_is_used(vhost: Vhost, queue_ms: int | None, message_ms: int, least: int) -> None:
    queue = declare(vhost, **({} if queue_ms is None else {"message_ttl": queue_ms}))
    publish(queue, b"1", expiration_ms=message_ms)
    clock_of(vhost).advance(least - 1)
    assert queue.ready_count == 1
    clock_of(vhost).advance(1)
    assert queue.ready_count == 0


def test_timer_is_updated_after_the_head_is_consumed(vhost: Vhost) -> None:
    queue, grave = with_graves(vhost)
    publish(queue, b"head")
    publish(queue, b"short", expiration_ms=100)
    assert get(queue).message.body == b"head"
    clock_of(vhost).advance(100)
    assert (queue.ready_count, grave.ready_count) == (0, 1)


def test_timer_is_updated_for_a_new_head(vhost: Vhost) -> None:
    queue, grave = with_graves(vhost, max_priority=3)
    publish(queue, b"slow", expiration_ms=5000)
    publish(queue, b"fast", priority=2, expiration_ms=100)
    clock_of(vhost).advance(100)
    assert [body for body, _ in reasons(grave)] == [b"fast"]
    clock_of(vhost).advance(4900)
    assert [body for body, _ in reasons(grave)] == [b"fast", b"slow"]


def test_many_messages_with_a_ttl_need_one_timer(vhost: Vhost) -> None:
    queue = declare(vhost)
    for i in range(1000):
        publish(queue, b"x", expiration_ms=1000 - i)
    assert queue.ready_count == 1000
    assert len([timer for _, _, timer in clock_of(vhost)._heap if timer.callback]) == 1


def test_new_ttl_applies_to_new_messages(vhost: Vhost) -> None:
    queue = declare(vhost)
    publish(queue, b"old")
    queue.apply_settings(QueueSettings(message_ttl_ms=100))
    one = Subscriber(queue, limit=1).subscribe()
    publish(queue, b"new")
    clock_of(vhost).advance(100)
    assert (one.bodies, queue.ready_count) == ([b"old"], 0)


def test_removed_ttl_still_applies_to_older_messages(vhost: Vhost) -> None:
    queue = declare(vhost, message_ttl=100)
    publish(queue, b"old")
    queue.apply_settings(QueueSettings())
    publish(queue, b"new")
    clock_of(vhost).advance(100)
    assert ready(queue) == [b"new"]


# --- dead letters -----------------------------------------------------------------------------------------------------


def test_messages_without_a_dead_letter_exchange_are_dropped(vhost: Vhost) -> None:
    queue = declare(vhost)
    one = Subscriber(queue).subscribe()
    publish(queue, b"1")
    one.reject()
    assert (queue.ready_count, queue.unacked_count) == (0, 0)


def test_a_delivery_limit_of_0_allows_one_delivery(vhost: Vhost) -> None:
    queue, grave = with_graves(vhost, queue_type="quorum", delivery_limit=0)
    one = Subscriber(queue).subscribe()
    publish(queue, b"1")
    one.requeue()
    assert (one.bodies, reasons(grave)) == ([b"1"], [(b"1", "delivery_limit")])


def test_classic_queue_has_no_delivery_limit(vhost: Vhost) -> None:
    queue = declare(vhost)
    one = Subscriber(queue).subscribe()
    publish(queue, b"1")
    for _ in range(50):
        one.requeue()
    assert one.bodies == [b"1"] * 51


def test_dead_letter_that_dies_at_once_is_dead_lettered_again(vhost: Vhost) -> None:
    declare(vhost, "a", message_ttl=0, dead_letter_exchange="", dead_letter_routing_key="b")
    declare(vhost, "b", max_length=0, dead_letter_exchange="", dead_letter_routing_key="c")
    last = declare(vhost, "c")
    publish(vhost.queues["a"], b"1")
    (entry,) = last.ready
    assert [(death.queue, death.reason) for death in deaths_of(entry.message)] == [
        ("b", "maxlen"),
        ("a", "expired"),
    ]


def test_the_call_stack_does_not_grow_with_a_chain_of_dead_letters(vhost: Vhost) -> None:
    length = 200
    for i in range(length):
        declare(vhost, f"q{i}", message_ttl=0, dead_letter_exchange="", dead_letter_routing_key=f"q{i + 1}")
    last = declare(vhost, f"q{length}")
    depth = 0
    caller = sys._getframe()
    while caller is not None:
        depth, caller = depth + 1, caller.f_back
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + length // 2)
    try:
        publish(vhost.queues["q0"], b"1")
    finally:
        sys.setrecursionlimit(limit)
    (entry,) = last.ready
    assert len(deaths_of(entry.message)) == length


def test_a_deleted_queue_dead_letters_nothing(vhost: Vhost) -> None:
    queue, grave = with_graves(vhost, message_ttl=100)
    publish(queue, b"1", b"2")
    entry = get(queue)
    vhost.delete_queue(queue)
    queue.reject([entry])
    clock_of(vhost).advance(1000)
    assert (grave.ready_count, queue.unacked_count) == (0, 0)


# --- moving -----------------------------------------------------------------------------------------------------------


def test_messages_are_moved_from_the_head_up_to_a_count_or_size(vhost: Vhost) -> None:
    queue, other = declare(vhost), declare(vhost, "other")
    publish(queue, b"11", b"22", b"33", b"44")
    assert queue.move(other, 1, 1000) == 1
    assert queue.move(other, 10, 3) == 2
    assert (ready(queue), ready(other)) == ([b"44"], [b"11", b"22", b"33"])
    assert queue.move(other, 10, 1000) == 1
    assert queue.move(other, 10, 1000) == 0


def test_moving_messages_to_another_queue_does_not_count_as_ack(vhost: Vhost) -> None:
    queue, other = declare(vhost), declare(vhost, "other")
    publish(queue, b"1", b"2")
    queue.move(other, 10, 1000)
    assert (queue.message_stats()["publish"], queue.message_stats().get("ack", 0)) == (2, 0)
    assert other.message_stats()["publish"] == 2


def test_moved_message_may_return_as_a_dead_letter(vhost: Vhost) -> None:
    queue = declare(vhost)
    other = declare(vhost, "other", max_length=1, dead_letter_exchange="", dead_letter_routing_key="q")
    publish(queue, b"1", b"2", b"3")
    assert queue.move(other, 3, 1000) == 3
    assert (ready(queue), ready(other)) == ([b"1", b"2"], [b"3"])


def test_messages_are_not_moved_to_a_deleted_queue(vhost: Vhost) -> None:
    queue, other = declare(vhost), declare(vhost, "other")
    publish(queue, b"1")
    vhost.delete_queue(other)
    assert queue.move(other, 10, 1000) == 0
    assert ready(queue) == [b"1"]


def test_moved_messages_are_delivered_to_consumers(vhost: Vhost) -> None:
    queue, other = declare(vhost), declare(vhost, "other")
    publish(queue, b"1", b"2")
    subscriber = Subscriber(other, limit=1)
    other.add_consumer(subscriber)
    other.offer(subscriber)
    assert queue.move(other, 10, 1000) == 2
    assert [body for body, _ in subscriber.got] == [b"1"]
    assert ready(other) == [b"2"]
