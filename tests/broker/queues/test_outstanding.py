from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.outstanding import Outstanding
from tests.broker.queueing import Subscriber, make_vhost, message


def entries(*bodies: bytes) -> list[Entry]:
    owner = make_vhost().reply_queue()
    return [Entry(message(body), owner, number, 0) for number, body in enumerate(bodies, 1)]


def delivered(outstanding: Outstanding, consumer: Subscriber, *bodies: bytes) -> list[Entry]:
    made = entries(*bodies)
    for entry in made:
        outstanding.add(entry, consumer, 0)
        consumer.deliver(entry)
    return made


def subscriber(tag: str = "c") -> Subscriber:
    return Subscriber(make_vhost().reply_queue(), tag)


def test_deliveries_count_until_they_are_settled() -> None:
    outstanding, consumer = Outstanding(), subscriber()
    first, second, third = delivered(outstanding, consumer, b"1", b"22", b"333")
    assert (outstanding.count, outstanding.size, consumer.unacked) == (3, 6, 3)
    assert outstanding.settle(second) is consumer
    assert (outstanding.count, outstanding.size, consumer.unacked) == (2, 4, 2)
    assert outstanding.settle_all([first, third]) == {consumer: None}
    assert (outstanding.count, outstanding.size, consumer.unacked) == (0, 0, 0)
    assert first.consumer is None


def test_message_taken_by_basic_get_has_no_consumer() -> None:
    outstanding = Outstanding()
    (entry,) = entries(b"12")
    outstanding.add_got(entry, 0)
    assert (outstanding.count, outstanding.size) == (1, 2)
    assert outstanding.settle(entry) is None
    assert (outstanding.count, outstanding.size) == (0, 0)


def test_only_returned_messages_count_as_returned() -> None:
    outstanding, one, two = Outstanding(), subscriber("1"), subscriber("2")
    acked = delivered(outstanding, one, b"1")
    back = delivered(outstanding, two, b"2") + delivered(outstanding, one, b"3")
    outstanding.settle_all(acked)
    assert outstanding.returned == 0
    assert list(outstanding.settle_returned(back)) == [two, one]
    assert (outstanding.returned, outstanding.count) == (2, 0)


def test_a_reserved_message_counts_for_its_consumer_only() -> None:
    outstanding, consumer = Outstanding(), subscriber()
    outstanding.reserve(consumer)
    outstanding.reserve(consumer)
    assert (outstanding.count, consumer.unacked) == (0, 2)
    outstanding.unreserve(consumer, 2)
    assert consumer.unacked == 0


def test_removed_consumers_and_gets_count_as_holders_until_they_settle() -> None:
    outstanding, stays, goes = Outstanding(counts_holders=True), subscriber("stays"), subscriber("goes")
    delivered(outstanding, stays, b"1")
    held = delivered(outstanding, goes, b"2", b"3")
    got = entries(b"4", b"5")
    for entry in got:
        outstanding.add_got(entry, 0)
    assert outstanding.holders() == 2
    outstanding.consumer_removed(goes)
    assert outstanding.holders() == 3
    outstanding.settle(held[0])
    assert outstanding.holders() == 3
    outstanding.settle(held[1])
    assert outstanding.holders() == 2
    outstanding.settle_all(got)
    assert outstanding.holders() == 0


def test_holder_count_is_zero_if_the_queue_does_not_count_holders() -> None:
    outstanding, consumer = Outstanding(), subscriber()
    (held,) = delivered(outstanding, consumer, b"1")
    (got,) = entries(b"2")
    outstanding.add_got(got, 0)
    outstanding.consumer_removed(consumer)
    assert outstanding.holders() == 0
    outstanding.settle(held)
    assert outstanding.count == 1


def test_consumer_takes_over_unacked_messages_of_a_cancelled_one() -> None:
    outstanding, former, heir = Outstanding(counts_holders=True), subscriber("a"), subscriber("b")
    held = delivered(outstanding, former, b"1", b"2")
    outstanding.consumer_removed(former)
    outstanding.move(held, heir, counted=True)
    assert (outstanding.count, former.unacked, heir.unacked, outstanding.holders()) == (2, 0, 2, 0)
    assert outstanding.settle(held[0]) is heir
    assert heir.unacked == 1


def test_messages_moved_uncounted_make_the_unacked_count_negative() -> None:
    outstanding, former, heir = Outstanding(), subscriber("a"), subscriber("b")
    (entry,) = delivered(outstanding, former, b"1")
    outstanding.move([entry], heir, counted=False)
    assert (former.unacked, heir.unacked) == (0, 0)
    outstanding.settle(entry)
    assert heir.unacked == -1
