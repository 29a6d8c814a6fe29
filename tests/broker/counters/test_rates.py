"""Samples, rates and histories, by a clock that is advanced by the test."""

import weakref

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.counters.rates import PAUSE_MS, Rates
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.clock import ManualClock
from amqpbroker.config.bounds import BOUNDS, Bounds
from tests.broker.queueing import Subscriber, declare, publish
from tests.harness import Wire, make_broker

#: Time from one sample to the next, which includes its duration.
INTERVAL_MS = 5_000


class Watched:
    """A broker whose rates are sampled, and a queue in it."""

    def __init__(self, samples: int = BOUNDS.samples) -> None:
        self.clock = ManualClock()
        self.broker: Broker = make_broker(self.clock, bounds=BOUNDS._replace(samples=samples))
        self.vhost = self.broker.vhost("/")
        self.queue: LocalQueue = declare(self.vhost)
        self.rates: Rates = self.broker.rates

    def start(self) -> "Watched":
        self.rates.start()
        self.clock.advance(INTERVAL_MS - 1)
        return self

    def next_look(self) -> None:
        self.clock.advance(INTERVAL_MS)


def test_rate_is_per_second_since_the_last_sample():
    watched = Watched().start()
    publish(watched.queue, *[b"a"] * 10)
    Subscriber(watched.queue, limit=5).subscribe()
    watched.next_look()
    found = watched.rates.of(watched.queue)
    assert (found["publish"], found["deliver"], found["deliver_get"]) == (2.0, 1.0, 1.0)
    assert (found["messages"], found["messages_ready"], found["messages_unacknowledged"]) == (2.0, 1.0, 1.0)


def test_a_queue_that_shrinks_has_a_negative_rate():
    watched = Watched().start()
    publish(watched.queue, *[b"a"] * 10)
    watched.next_look()
    watched.queue.purge()
    watched.next_look()
    assert watched.rates.of(watched.queue)["messages"] == -2.0


def test_queue_without_activity_becomes_idle_and_its_rates_fall_to_zero():
    watched = Watched().start()
    publish(watched.queue, b"a")
    watched.next_look()
    assert watched.queue.info().idle_since is None
    watched.next_look()
    since = watched.clock.now_ms()
    watched.next_look()
    assert watched.rates.of(watched.queue)["publish"] == 0.0
    idle_since = watched.queue.info().idle_since
    assert idle_since is not None
    assert since - INTERVAL_MS < idle_since <= since
    publish(watched.queue, b"a")
    watched.next_look()
    assert watched.rates.of(watched.queue)["publish"] == 0.2
    assert watched.queue.info().idle_since is None


def test_messages_from_before_the_first_sample_do_not_count_for_rates():
    watched = Watched()
    publish(watched.queue, *[b"a"] * 1000)
    watched.start()
    assert watched.rates.of(watched.queue)["messages_ready"] == 0.0
    publish(watched.queue, *[b"a"] * 5)
    watched.next_look()
    assert watched.rates.of(watched.queue)["messages_ready"] == 1.0


def test_unused_objects_need_no_sample_and_have_rates_of_0():
    watched = Watched().start()
    watched.next_look()
    assert watched.queue.sample is None
    assert set(watched.rates.of(watched.queue).values()) == {0.0}


def test_channels_exchanges_connections_and_broker_have_rates():
    watched = Watched().start()
    wire = Wire(watched.broker).log_in()
    for _ in range(5):
        wire.publish("q")
    wire.turn()
    watched.next_look()
    channel = wire.connection.channel_infos()[0]
    of = watched.rates.of
    assert of(watched.vhost)["publish"] == of(watched.broker)["publish"] == of(channel.counted)["publish"] == 1.0
    exchange = of(watched.vhost.exchange(""))
    assert (exchange["publish_in"], exchange["publish_out"]) == (1.0, 1.0)
    rate = wire.connection.info().recv_oct / 5
    assert of(wire.connection)["recv_oct"] == of(watched.broker)["recv_oct"] == of(watched.vhost)["recv_oct"] == rate
    assert of(watched.broker.totals.churn)["connection_created"] == pytest.approx(0.2, rel=0.01)
    assert of(watched.broker)["messages"] == 1.0


def test_publish_rates_and_totals_include_closed_channels():
    watched = Watched().start()
    for close in (False, True):
        wire = Wire(watched.broker).log_in()
        for _ in range(5):
            wire.publish("q")
        wire.turn()
        if close:
            wire.connection.lost()
        watched.next_look()
        assert watched.rates.of(watched.broker)["publish"] == 1.0
        assert watched.rates.of(watched.vhost)["publish"] == 1.0
    assert watched.broker.message_stats()["publish"] == 10


def test_channel_that_closes_during_a_sample_is_not_counted_twice():
    watched = Watched(samples=1)
    wires = [Wire(watched.broker).log_in() for _ in range(3)]
    watched.start()
    for wire in wires:
        wire.publish("q")
    for order in (0, 1):
        watched.clock.advance(1 + PAUSE_MS * order)
        wires[order].connection.lost()
        watched.clock.advance(INTERVAL_MS - 1 - PAUSE_MS * order)
        for counted in (watched.broker, watched.vhost):
            assert counted.sample is not None
            assert dict(zip(counted.counter_names, counted.sample.counters, strict=True))["publish"] == 3


def test_sample_of_many_objects_is_taken_in_slices():
    watched = Watched(samples=10)
    queues = [declare(watched.vhost, f"q{i}") for i in range(35)]
    watched.start()
    for queue in queues:
        publish(queue, b"a")
    watched.clock.advance(1)
    looked_at = []
    for _ in range(5):
        looked_at.append(sum(queue.sample is not None for queue in queues))
        watched.clock.advance(PAUSE_MS)
    assert looked_at == [9, 19, 29, 35, 35]


def test_consumer_capacity_is_averaged_over_time():
    watched = Watched().start()
    consumer = Subscriber(watched.queue, limit=1).subscribe()
    publish(watched.queue, b"a", b"b", b"c")
    capacities = []
    for _ in range(3):
        watched.next_look()
        capacities.append(watched.queue.info().consumer_capacity)
    assert 1.0 > capacities[0] > capacities[1] > capacities[2] > 0.0
    consumer.relimit(10)
    watched.next_look()
    assert capacities[2] < watched.queue.info().consumer_capacity < 1.0


def test_history_of_the_broker_covers_ten_minutes():
    watched = Watched().start()
    publish(watched.queue, b"a")
    for _ in range(130):
        watched.next_look()
    points = watched.rates.history(watched.broker)
    assert len(points) == 121
    assert points[-1][0] - points[0][0] == 600_000
    assert {counts["messages_ready"] for _, counts in points} == {1}
    assert {"publish", "deliver_get", "recv_oct", "send_oct", "messages"} <= set(points[0][1])


def test_a_history_begins_when_the_object_is_first_used():
    watched = Watched().start()
    watched.next_look()
    assert not watched.rates.has_history(watched.queue)
    publish(watched.queue, b"a")
    watched.next_look()
    assert watched.rates.has_history(watched.queue)
    watched.next_look()
    publish(watched.queue, b"a")
    watched.next_look()
    points = watched.rates.history(watched.queue)
    assert [(at_ms - points[0][0], counts["publish"]) for at_ms, counts in points] == [(0, 0), (5_000, 1), (15_000, 2)]


def test_the_last_sample_of_an_idle_object_ends_its_history():
    watched = Watched().start()
    publish(watched.queue, b"a")
    for _ in range(5):
        watched.next_look()
    points = watched.rates.history(watched.queue)
    assert [(at_ms - points[0][0], counts["publish"]) for at_ms, counts in points] == [(0, 0), (5_000, 1), (25_000, 1)]


def test_the_history_of_an_unused_object_begins_when_it_is_requested():
    watched = Watched()
    assert watched.rates.history(watched.queue) == []
    watched.start().next_look()
    watched.rates.history(watched.queue)
    watched.next_look()
    publish(watched.queue, b"a")
    watched.next_look()
    points = watched.rates.history(watched.queue)
    assert [(at_ms - points[0][0], counts["publish"]) for at_ms, counts in points] == [(0, 0), (10_000, 1)]


def test_counts_from_before_the_first_sample_are_the_start_of_a_history():
    watched = Watched()
    publish(watched.queue, *[b"a"] * 10)
    watched.start()
    publish(watched.queue, b"a")
    watched.next_look()
    assert [counts["publish"] for _, counts in watched.rates.history(watched.queue)] == [10, 11]


def test_number_of_objects_with_a_history_is_limited():
    clock = ManualClock()
    broker = make_broker(clock, bounds=Bounds(histories=3))
    queues = [declare(broker.vhost("/"), f"q{i}") for i in range(10)]
    broker.rates.start()
    clock.advance(INTERVAL_MS - 1)
    for queue in queues:
        publish(queue, b"a")
    clock.advance(INTERVAL_MS)
    assert sum(broker.rates.has_history(queue) for queue in queues) == 3
    for queue in queues:
        assert broker.rates.history(queue)[-1][1]["publish"] == 1
    assert [broker.rates.has_history(queue) for queue in queues] == [False] * 7 + [True] * 3


def test_history_of_a_deleted_queue_is_discarded():
    watched = Watched().start()
    watched.next_look()
    kept = declare(watched.vhost, "kept")
    for queue in (watched.queue, kept):
        watched.rates.history(queue)
    seen = weakref.ref(watched.rates._histories._histories[watched.queue])
    watched.vhost.delete_queue(watched.queue)
    watched.next_look()
    watched.next_look()
    assert not watched.rates.has_history(watched.queue)
    assert seen() is None
    assert watched.rates.has_history(kept), "a queue that was never used keeps its history"


def test_history_that_is_requested_during_a_sample_is_retained():
    watched = Watched(samples=1)
    watched.rates.start()
    watched.clock.advance(4 * PAUSE_MS)  # the queue is sampled already, and exchanges are not yet
    watched.rates.history(watched.queue)
    watched.clock.advance(100 * PAUSE_MS)
    assert watched.rates.has_history(watched.queue)


def test_rates_use_the_configured_statistics_interval():
    clock = ManualClock()
    broker = make_broker(clock, collect_statistics_interval_ms=1_000)
    queue = declare(broker.vhost("/"))
    broker.rates.start()
    clock.advance(500)
    publish(queue, b"a", b"a")
    clock.advance(600)
    assert broker.rates.of(queue)["publish"] == 2.0
