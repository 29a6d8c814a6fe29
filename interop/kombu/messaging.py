"""kombu: entities declared from objects, consumers in a drain loop, and `ensure`/`autoretry` around lost connections.

Run by `python -m interop kombu`.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from amqp.exceptions import MessageNacked, NotFound, PreconditionFailed
from kombu import Connection, Exchange, Queue, binding
from kombu.message import Message
from kombu.mixins import ConsumerProducerMixin
from kombu.pools import producers

from interop.checks import AMQP_URL, check, expect, finish, restart_broker, version

Received = list[tuple[Any, Message]]


def connect() -> Connection:
    """A connection whose publishes wait for the broker's confirm."""
    return Connection(AMQP_URL, transport_options={"confirm_publish": True})


def take(connection: Connection, queue: Queue, count: int) -> Received:
    """Consume and acknowledge `count` messages: each body, decoded, with its message."""
    received: Received = []

    def on_message(body: Any, message: Message) -> None:
        received.append((body, message))
        message.ack()

    with connection.Consumer([queue], callbacks=[on_message], prefetch_count=1):
        while len(received) < count:
            connection.drain_events(timeout=30)
    return received


def bodies(connection: Connection, queue: Queue, count: int) -> list[Any]:
    return [body for body, _ in take(connection, queue, count)]


def death_count(message: Message, queue: str, reason: str) -> int:
    """Return the number of deaths of a message in `queue` for `reason`, by its x-death header."""
    deaths = message.headers.get("x-death", [])
    return sum(death["count"] for death in deaths if (death["queue"], death["reason"]) == (queue, reason))


def dead_letter_to(queue: str) -> dict[str, Any]:
    return {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue}


def topology(connection: Connection) -> None:
    media = Exchange("media", type="topic")
    urgent = Exchange("urgent", type="fanout")
    tagged = Exchange("tagged", type="headers", durable=False)
    video = Queue("video", exchange=media, routing_key="video.#")
    night = Queue("night", [binding(media, routing_key="*.night"), binding(urgent)])
    red = Queue("red", exchange=tagged, binding_arguments={"x-match": "any", "colour": "red", "size": 1})
    channel = connection.channel()
    for entity in (urgent, video, night, red):
        entity.maybe_bind(channel)
        entity.declare()
    urgent.bind_to(media, routing_key="*.urgent")

    producer = connection.Producer()
    producer.publish({"n": 1}, exchange=media, routing_key="video.night")
    producer.publish({"n": 2}, exchange=media, routing_key="audio.urgent")
    producer.publish({"n": 3}, exchange=media, routing_key="video.urgent")
    producer.publish({"n": 4}, exchange=tagged, routing_key="", headers={"colour": "red"})
    assert bodies(connection, video, 2) == [{"n": 1}, {"n": 3}]
    assert bodies(connection, night, 3) == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert bodies(connection, red, 1) == [{"n": 4}]


def confirms(connection: Connection) -> None:
    small = Queue("full", max_length=1, queue_arguments={"x-overflow": "reject-publish"})
    producer = connection.Producer()
    producer.publish("fits", routing_key="full", declare=[small])
    with expect(MessageNacked):
        producer.publish("does not fit", routing_key="full")
    many = Queue("confirmed")
    for number in range(100):
        producer.publish(number, routing_key="confirmed", declare=[many], delivery_mode="persistent")
    assert many(connection.channel()).queue_declare(passive=True).message_count == 100


def mandatory_return(connection: Connection) -> None:
    returned: list[tuple[Any, ...]] = []
    producer = connection.Producer(on_return=lambda error, exchange, key, message: returned.append((error, key)))
    producer.publish("lost?", routing_key="no.such.queue", mandatory=True)
    ((error, key),) = returned
    assert (error.reply_code, error.reply_text, key) == (312, "NO_ROUTE", "no.such.queue")


def acks(connection: Connection) -> None:
    """A requeued message is redelivered with the flag; an acknowledged one is not."""
    work = Queue("work")
    for number in range(3):
        connection.Producer().publish(number, routing_key="work", declare=[work])
    seen = []

    def on_message(body: Any, message: Message) -> None:
        redelivered = message.delivery_info["redelivered"]
        seen.append((body, redelivered))
        if redelivered:
            message.ack()
        else:
            message.requeue()

    with connection.Consumer([work], callbacks=[on_message], prefetch_count=1):
        while len(seen) < 6:
            connection.drain_events(timeout=30)
    assert seen == [(number, redelivered) for number in range(3) for redelivered in (False, True)], seen
    assert work(connection.channel()).get() is None


def priorities(connection: Connection) -> None:
    triage = Queue("triage", max_priority=5)
    producer = connection.Producer()
    for priority in (0, 3, 1, 5, 3):
        producer.publish(priority, routing_key="triage", declare=[triage], priority=priority)
    assert bodies(connection, triage, 5) == [5, 3, 3, 1, 0]


def ttl_to_dlx(connection: Connection) -> None:
    missed = Queue("missed", exchange=Exchange("late", type="direct"), routing_key="too.late")
    slots = Queue("slots", queue_arguments={"x-dead-letter-exchange": "late", "x-dead-letter-routing-key": "too.late"})
    producer = connection.Producer()
    producer.publish("milk", routing_key="slots", declare=[missed, slots], expiration=0.1)  # seconds here
    ((body, message),) = take(connection, missed, 1)
    assert body == "milk"
    (death,) = message.headers["x-death"]
    assert (death["queue"], death["reason"], death["count"]) == ("slots", "expired", 1)
    assert death["original-expiration"] == "100"
    assert message.headers["x-last-death-reason"] == "expired"


def wait_and_retry(connection: Connection) -> None:
    """A rejected job waits 100 ms in a queue that nobody consumes, then is back; the fourth try succeeds."""
    jobs = Queue("jobs", queue_arguments=dead_letter_to("jobs.wait"))
    wait = Queue("jobs.wait", message_ttl=0.1, queue_arguments=dead_letter_to("jobs"))
    connection.Producer().publish("flaky", routing_key="jobs", declare=[jobs, wait])
    tries: list[tuple[int, int]] = []

    def on_message(body: Any, message: Message) -> None:
        tries.append((death_count(message, "jobs", "rejected"), death_count(message, "jobs.wait", "expired")))
        if len(tries) < 4:
            message.reject()
        else:
            message.ack()

    with connection.Consumer([jobs], callbacks=[on_message]):
        while len(tries) < 4:
            connection.drain_events(timeout=30)
    assert tries == [(0, 0), (1, 1), (2, 2), (3, 3)], tries


def reject_to_dlq(connection: Connection) -> None:
    dead = Queue("dead")
    fragile = Queue("fragile", queue_arguments=dead_letter_to("dead"))
    connection.Producer().publish("poison", routing_key="fragile", declare=[dead, fragile], headers={"attempt": 1})
    message = poll(fragile(connection.channel()))
    message.reject(requeue=False)
    ((body, message),) = take(connection, dead, 1)
    assert (body, message.headers["attempt"]) == ("poison", 1)
    assert death_count(message, "fragile", "rejected") == 1


def poll(queue: Queue) -> Message:
    """basic.get until there is a message."""
    for _ in range(1500):
        if (message := queue.get()) is not None:
            return message
        time.sleep(0.02)
    raise TimeoutError(f"nothing in {queue.name}")


def simple_queue(connection: Connection) -> None:
    """kombu's SimpleQueue, used like the standard library's."""
    with connection.SimpleQueue("simple") as queue:
        queue.put({"hello": "world"}, compression="zlib")
        message = queue.get(timeout=30)
        assert message.payload == {"hello": "world"}
        message.ack()
        with expect(queue.Empty):
            queue.get(block=False)
        with producers[connection].acquire(block=True) as producer:  # kombu's pool of connections
            producer.publish([1, 2], routing_key="simple")
        message = queue.get(timeout=30)
        assert message.payload == [1, 2]
        message.ack()
    with connection.SimpleBuffer("simple.buffer") as buffer:
        buffer.put("transient")
        assert buffer.get(timeout=30).payload == "transient"


def large_message(connection: Connection) -> None:
    sent = os.urandom(20 * 1024 * 1024)
    large = Queue("large")
    connection.Producer().publish(
        sent, routing_key="large", declare=[large], content_type="application/data", content_encoding="binary"
    )
    ((received, _),) = take(connection, large, 1)
    assert bytes(received) == sent


def channel_error(connection: Connection) -> None:
    channel = connection.channel()
    with expect(NotFound) as missing:
        Queue("no.such.queue")(channel).queue_declare(passive=True)
    assert missing.error.reply_code == 404
    assert missing.error.reply_text == "NOT_FOUND - no queue 'no.such.queue' in vhost '/'", missing.error

    channel = connection.channel()
    Queue("settled", durable=True)(channel).declare()
    with expect(PreconditionFailed) as inequivalent:
        Queue("settled", durable=False)(channel).declare()
    assert inequivalent.error.reply_code == 406
    assert inequivalent.error.reply_text == (
        "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'settled' in vhost '/': "
        "received 'false' but current is 'true'"
    ), inequivalent.error

    assert connection.connected  # it has not suffered
    Queue("settled")(connection.channel()).queue_declare(passive=True)


class Service(ConsumerProducerMixin):
    """kombu's own pattern for a service: `run` consumes, over lost connections, until it is told to stop."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.connections = 0
        self.received: list[str] = []

    def get_consumers(self, consumer_class: Any, channel: Any) -> list[Any]:
        return [consumer_class([Queue("steady")], callbacks=[self.on_message])]

    def on_connection_error(self, error: Exception, interval: float) -> None:
        print(f"no connection yet: {error!r}", file=sys.stderr)
        time.sleep(0.2)

    def on_connection_revived(self) -> None:
        self.connections += 1

    def on_consume_ready(self, *_: Any, **__: Any) -> None:
        """The consumers are there; the producer's connection is another, found dead only when it is used."""
        word = "still here" if self.received else "before"
        self.producer.publish(word, routing_key="steady", retry=True, delivery_mode="transient")

    def on_message(self, body: str, message: Message) -> None:
        message.ack()
        self.received.append(body)
        if body == "before":
            restart_broker()
        self.should_stop = body == "still here"


def reconnect(connection: Connection) -> None:
    service = Service(connection)
    service.run()
    assert service.received == ["before", "still here"], service.received
    assert service.connections == 2, service.connections


def main() -> None:
    version("kombu")
    with connect() as connection:
        with check("topology"):
            topology(connection)
        with check("confirms"):
            confirms(connection)
        with check("mandatory-return"):
            mandatory_return(connection)
        with check("acks"):
            acks(connection)
        with check("priorities"):
            priorities(connection)
        with check("ttl-dlx"):
            ttl_to_dlx(connection)
        with check("wait-retry"):
            wait_and_retry(connection)
        with check("reject-dlq"):
            reject_to_dlq(connection)
        with check("simple-queue"):
            simple_queue(connection)
        with check("large-message"):
            large_message(connection)
        with check("channel-error"):
            channel_error(connection)
    with check("reconnect"):
        reconnect(connect())
    finish()


if __name__ == "__main__":
    main()
