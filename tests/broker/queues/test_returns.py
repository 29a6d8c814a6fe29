from amqpbroker.broker.vhost import Vhost
from tests.broker.queueing import Subscriber, clock_of, declare, get, publish, ready, reasons, with_graves


def test_what_is_too_much_of_what_comes_back_goes_before_what_dies_of_anything_else(vhost: Vhost) -> None:
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


def test_without_a_delivery_limit_each_that_a_client_returns_goes_to_the_end(vhost: Vhost) -> None:
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


def test_without_a_delivery_limit_what_a_channel_held_that_ends_comes_back_first(vhost: Vhost) -> None:
    queue = declare(vhost, queue_type="quorum", delivery_limit=-1)
    publish(queue, b"1", b"2", b"3")
    queue.reclaim([get(queue), get(queue)])
    assert ready(queue) == [b"1", b"2", b"3"]


def test_without_a_delivery_limit_each_return_makes_room_for_itself(vhost: Vhost) -> None:
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


def test_a_return_to_the_end_is_no_publish(vhost: Vhost) -> None:
    queue = declare(vhost, queue_type="quorum", delivery_limit=-1)
    publish(queue, b"1", b"2")
    for _ in range(3):
        queue.requeue([get(queue)])
    counters = dict(zip(queue.counter_names, queue.counters(), strict=True))
    assert (counters["publish"], counters["ack"], counters["messages_ready"]) == (2, 0, 2)


def test_a_quorum_queue_that_refuses_publishes_stays_shut_while_messages_come_back_to_its_end(vhost: Vhost) -> None:
    queue = declare(vhost, queue_type="quorum", delivery_limit=-1, overflow="reject-publish", max_length=1)
    publish(queue, b"1", b"2")
    queue.requeue([get(queue)])
    assert (queue.ready_count, queue.refuses(1, 1)) == (2, True)
