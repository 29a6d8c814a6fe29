import pytest

from amqpbroker.broker.queues.arguments.retry_delay import FAILED, RetryDelay
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.vhost import Vhost
from tests.broker.queueing import Subscriber, clock_of, declare, get, publish, ready, reasons, with_graves
from tests.broker.queues.parts import Parts


def test_returned_messages_over_the_limit_are_dropped_before_other_deaths(vhost: Vhost) -> None:
    queue, grave = with_graves(vhost, queue_type="quorum", delivery_limit=1, max_length=1)
    one = Subscriber(queue).subscribe()
    publish(queue, b"often")
    one.requeue()
    publish(queue, b"late", expiration_ms=0)
    publish(queue, b"1", b"2", b"3")
    one.limit = 0
    clock_of(vhost).advance(1)
    one.requeue(5)
    assert reasons(grave) == [(b"2", "maxlen"), (b"1", "maxlen"), (b"often", "delivery_limit"), (b"late", "expired")]
    assert ready(queue) == [b"3"]


def test_without_a_delivery_limit_returned_messages_move_to_the_end(vhost: Vhost) -> None:
    queue = declare(vhost, queue_type="quorum", delivery_limit=-1)
    one = Subscriber(queue, limit=2).subscribe()
    publish(queue, b"1", b"2", b"3")
    one.requeue(2)
    assert one.got == [(b"1", False), (b"2", False), (b"3", False), (b"1", True)]
    assert ready(queue) == [b"2"]
    publish(queue, b"4")
    for _ in range(2):
        one.requeue(2)
    assert [(entry.message.body, entry.delivery_count) for entry in one.held] == [(b"3", 1), (b"1", 2)]


def test_without_a_delivery_limit_ended_channel_returns_messages_to_head(vhost: Vhost) -> None:
    queue = declare(vhost, queue_type="quorum", delivery_limit=-1)
    publish(queue, b"1", b"2", b"3")
    queue.reclaim([get(queue), get(queue)])
    assert ready(queue) == [b"1", b"2", b"3"]


def test_without_a_delivery_limit_max_length_drops_others_before_returned(vhost: Vhost) -> None:
    queue, grave = with_graves(vhost, queue_type="quorum", delivery_limit=-1, max_length=2)
    publish(queue, b"1")
    publish(queue, b"late", expiration_ms=5)
    held = [get(queue), get(queue)]
    publish(queue, b"3", b"4")
    clock_of(vhost).advance(5)
    queue.requeue(held)
    assert ready(queue) == [b"1", b"late"]
    assert reasons(grave) == [(b"3", "maxlen"), (b"4", "maxlen")]
    queue.get(no_ack=True)
    assert (ready(queue), reasons(grave)[2:]) == ([], [(b"late", "expired")])


def test_return_to_the_end_does_not_count_as_publish(vhost: Vhost) -> None:
    queue = declare(vhost, queue_type="quorum", delivery_limit=-1)
    publish(queue, b"1", b"2")
    for _ in range(3):
        queue.requeue([get(queue)])
    counters = dict(zip(queue.counter_names, queue.counters(), strict=True))
    assert (counters["publish"], counters["ack"], counters["messages_ready"]) == (2, 0, 2)


def test_quorum_queue_refuses_publishes_while_messages_return_to_its_end(vhost: Vhost) -> None:
    queue = declare(vhost, queue_type="quorum", delivery_limit=-1, overflow="reject-publish", max_length=1)
    publish(queue, b"1", b"2")
    queue.requeue([get(queue)])
    assert (queue.ready_count, queue.refuses(1, 1)) == (2, True)


# --- without a queue --------------------------------------------------------------------------------------------------


def held(parts: Parts, *bodies: bytes, persistent: bool = False) -> list[Entry]:
    entries = [parts.entry(body, persistent=persistent) for body in bodies]
    for entry in entries:
        parts.outstanding.add_got(entry, 0)
    return entries


@pytest.mark.parametrize("quorum", [False, True])
def test_returned_messages_are_ready_again_and_counted(quorum: bool) -> None:
    parts = Parts(quorum=quorum)
    first, second = held(parts, b"1", b"2", persistent=True)
    parts.store.told.clear()
    parts.returns.reclaim([first, second])
    assert (parts.bodies(), parts.outstanding.count, parts.outstanding.returned) == ([b"1", b"2"], 0, 2)
    assert (first.acquired_count, first.delivery_count) == (1, 1)
    assert parts.store.told == [("returned", b"1"), ("returned", b"2")]


def test_only_failures_count_against_the_delivery_limit_in_4_3() -> None:
    parts = Parts(quorum=True, compat="4.3", delivery_limit=5)
    (entry,) = held(parts, b"1")
    parts.returns.requeue([entry], failed=False)
    assert (entry.acquired_count, entry.delivery_count) == (1, 0)


def test_message_returned_above_the_delivery_limit_is_removed() -> None:
    parts = Parts(quorum=True, delivery_limit=1)
    often, once = held(parts, b"often", b"once")
    often.restore(1, 1)
    parts.returns.requeue([often, once], failed=True)
    assert (parts.bodies(), parts.ledger.left) == ([b"once"], 1)
    assert parts.letter_counts == {("quorum", "disabled", "delivery_limit"): 1}


def test_failed_message_is_ready_after_the_retry_delay() -> None:
    parts = Parts(quorum=True, compat="4.3", delivery_limit=9, retry=RetryDelay(FAILED, 100, 100))
    failed, returned = held(parts, b"failed", b"returned")
    parts.returns.requeue([failed], failed=True)
    parts.returns.requeue([returned], failed=False)
    assert (parts.bodies(), parts.dispatcher.delayed_count, parts.dispatcher.delayed_size) == ([b"returned"], 1, 6)
    parts.clock.advance(100)
    assert (sorted(parts.bodies()), parts.dispatcher.delayed_count) == ([b"failed", b"returned"], 0)


def test_settings_without_retry_delay_apply_to_later_returns() -> None:
    parts = Parts(quorum=True, compat="4.3", delivery_limit=9, retry=RetryDelay(FAILED, 100, 100))
    parts.returns.apply(Parts(quorum=True, delivery_limit=9).settings)
    parts.returns.requeue(held(parts, b"1"), failed=True)
    assert parts.bodies() == [b"1"]


def test_returns_to_a_deleted_queue_are_dropped() -> None:
    parts = Parts()
    parts.returns.close()
    parts.returns.reclaim(held(parts, b"1", persistent=True))
    assert (parts.bodies(), parts.ledger.left, parts.ledger.persistent, parts.letter_counts) == ([], 1, 0, {})
