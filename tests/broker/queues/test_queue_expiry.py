from amqpbroker.broker.vhost import Vhost
from tests.broker.queueing import Subscriber, clock_of, declare, publish, with_graves


def test_an_unused_queue_expires(vhost: Vhost) -> None:
    queue, grave = with_graves(vhost, expires=1000)
    publish(queue, b"1")
    clock_of(vhost).advance(999)
    assert "q" in vhost.queues
    clock_of(vhost).advance(1)
    assert "q" not in vhost.queues
    assert grave.ready_count == 0


def test_get_and_declare_use_a_queue_but_publish_does_not(vhost: Vhost) -> None:
    queue = declare(vhost, expires=1000)
    clock_of(vhost).advance(900)
    queue.get(True)
    clock_of(vhost).advance(900)
    declare(vhost, expires=1000)
    clock_of(vhost).advance(900)
    publish(queue, b"1")
    assert "q" in vhost.queues
    clock_of(vhost).advance(100)
    assert "q" not in vhost.queues


def test_queue_with_consumer_does_not_expire_and_the_period_restarts_after_it(vhost: Vhost) -> None:
    one = Subscriber(declare(vhost, expires=1000)).subscribe()
    clock_of(vhost).advance(50_000)
    assert "q" in vhost.queues
    one.cancel()
    clock_of(vhost).advance(999)
    assert "q" in vhost.queues
    clock_of(vhost).advance(1)
    assert "q" not in vhost.queues


def test_a_deleted_queue_leaves_no_timer(vhost: Vhost) -> None:
    queue = declare(vhost, expires=1000, message_ttl=100)
    publish(queue, b"1")
    vhost.delete_queue(queue)
    assert clock_of(vhost).next_due_ms() is None
