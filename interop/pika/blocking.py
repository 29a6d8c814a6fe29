"""pika's BlockingConnection: one thread, plain calls, and a loop of one's own to reconnect.

Run by `python -m interop pika`; by hand with AMQP_URL set, typing RESTARTED after having restarted the broker.
"""

from __future__ import annotations

import os
import sys
import time

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import (
    AMQPConnectionError,
    ChannelClosedByBroker,
    NackError,
    UnroutableError,
)
from pika.spec import Basic

from interop.checks import AMQP_URL, check, expect, finish, restart_broker, version

PERSISTENT = pika.BasicProperties(delivery_mode=2)


def connect() -> pika.BlockingConnection:
    """Connect, trying again for some seconds as a service does while its broker is away."""
    parameters = pika.URLParameters(AMQP_URL)
    parameters.heartbeat = 30
    for _ in range(50):
        try:
            return pika.BlockingConnection(parameters)
        except AMQPConnectionError:
            time.sleep(0.2)
    raise TimeoutError(f"no broker at {AMQP_URL}")


def bodies(channel: BlockingChannel, queue: str, count: int) -> list[bytes]:
    """Consume and acknowledge `count` messages; their bodies."""
    found = []
    for method, _, body in channel.consume(queue, inactivity_timeout=30):
        assert method is not None, f"only {len(found)} of {count} messages came from {queue}"
        channel.basic_ack(method.delivery_tag)
        found.append(body)
        if len(found) == count:
            break
    channel.cancel()
    return found


def next_message(channel: BlockingChannel, queue: str) -> tuple[pika.BasicProperties, bytes]:
    """Wait for one message and acknowledge it."""
    for method, properties, body in channel.consume(queue, inactivity_timeout=30):
        assert method is not None, f"no message came from {queue}"
        channel.basic_ack(method.delivery_tag)
        channel.cancel()
        return properties, body
    raise AssertionError("the consumer was cancelled")


def topology(channel: BlockingChannel) -> None:
    for kind in ("direct", "fanout", "topic", "headers"):
        channel.exchange_declare(f"shop.{kind}", kind, durable=True)
    channel.exchange_declare("shop.audit", "fanout", internal=True, auto_delete=True)
    for queue in ("orders", "invoices", "everything", "audit"):
        channel.queue_declare(queue, durable=True)
    channel.queue_bind("orders", "shop.direct", "order")
    channel.queue_bind("invoices", "shop.topic", "invoice.*.paid")
    channel.queue_bind("everything", "shop.topic", "#")
    channel.queue_bind("orders", "shop.headers", arguments={"x-match": "all", "kind": "order", "urgent": True})
    channel.queue_bind("everything", "shop.fanout")
    channel.exchange_bind("shop.audit", "shop.direct", "order")
    channel.queue_bind("audit", "shop.audit")

    channel.basic_publish("shop.direct", "order", b"direct")
    channel.basic_publish("shop.topic", "invoice.de.paid", b"topic")
    channel.basic_publish("shop.topic", "invoice.de.late", b"other topic")
    channel.basic_publish("shop.fanout", "ignored", b"fanout")
    headers = pika.BasicProperties(headers={"kind": "order", "urgent": True})
    channel.basic_publish("shop.headers", "", b"headers", headers)
    assert bodies(channel, "orders", 2) == [b"direct", b"headers"]
    assert bodies(channel, "invoices", 1) == [b"topic"]
    assert bodies(channel, "everything", 3) == [b"topic", b"other topic", b"fanout"]
    assert bodies(channel, "audit", 1) == [b"direct"]

    channel.exchange_unbind("shop.audit", "shop.direct", "order")
    channel.queue_unbind("orders", "shop.direct", "order")
    channel.basic_publish("shop.direct", "order", b"nowhere")
    channel.basic_publish("", "orders", b"last")
    assert bodies(channel, "orders", 1) == [b"last"]


def confirms(connection: pika.BlockingConnection) -> None:
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("confirmed", durable=True)
    for number in range(100):  # each call returns when the broker has confirmed that message
        channel.basic_publish("", "confirmed", str(number).encode(), PERSISTENT, mandatory=True)
    assert channel.queue_declare("confirmed", passive=True).method.message_count == 100

    channel.queue_declare("full", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    channel.basic_publish("", "full", b"fits")
    with expect(NackError):
        channel.basic_publish("", "full", b"does not fit")
    channel.close()


def mandatory_return(connection: pika.BlockingConnection) -> None:
    channel = connection.channel()
    channel.confirm_delivery()
    with expect(UnroutableError) as unroutable:
        channel.basic_publish("", "no.such.queue", b"lost?", mandatory=True)
    (returned,) = unroutable.error.messages
    assert (returned.method.reply_code, returned.method.reply_text) == (312, "NO_ROUTE")
    assert (returned.method.routing_key, returned.body) == ("no.such.queue", b"lost?")
    channel.close()


def acks(channel: BlockingChannel) -> None:
    channel.basic_qos(prefetch_count=2)
    channel.queue_declare("work", durable=True)
    for body in (b"a", b"b", b"c"):
        channel.basic_publish("", "work", body, PERSISTENT)
    seen: list[tuple[bytes, bool]] = []
    for method, _, body in channel.consume("work", inactivity_timeout=30):
        assert method is not None, seen
        seen.append((body, method.redelivered))
        if seen == [(b"a", False)]:
            channel.basic_nack(method.delivery_tag, requeue=True)
        else:
            channel.basic_ack(method.delivery_tag)
        if len(seen) == 4:
            break
    assert channel.cancel() == 0
    assert sorted(seen) == [(b"a", False), (b"a", True), (b"b", False), (b"c", False)]
    assert channel.queue_declare("work", passive=True).method.message_count == 0
    channel.basic_qos(prefetch_count=0)


def priorities(connection: pika.BlockingConnection) -> None:
    channel = connection.channel()
    channel.confirm_delivery()  # so that all are in the queue when the first is taken
    channel.queue_declare("ranked", arguments={"x-max-priority": 10})
    for priority in (1, 9, 5, 9, None, 200):  # 200 counts as the queue's maximum, none as 0
        channel.basic_publish("", "ranked", str(priority).encode(), pika.BasicProperties(priority=priority))
    assert bodies(channel, "ranked", 6) == [b"200", b"9", b"9", b"5", b"1", b"None"]


def ttl_to_dlx(channel: BlockingChannel) -> None:
    channel.exchange_declare("expired", "direct")
    channel.queue_declare("expired")
    channel.queue_bind("expired", "expired", "late")
    channel.queue_declare(
        "short-lived",
        arguments={"x-dead-letter-exchange": "expired", "x-dead-letter-routing-key": "late"},
    )
    channel.basic_publish("", "short-lived", b"milk", pika.BasicProperties(expiration="100"))
    properties, body = next_message(channel, "expired")
    assert body == b"milk"
    assert properties.expiration is None
    (death,) = properties.headers["x-death"]
    assert (death["queue"], death["reason"], death["count"]) == ("short-lived", "expired", 1)
    assert (death["exchange"], death["routing-keys"]) == ("", ["short-lived"])
    assert death["original-expiration"] == "100"
    assert properties.headers["x-first-death-reason"] == "expired"


def wait_and_retry(channel: BlockingChannel) -> None:
    """A rejected job waits 100 ms in a queue that nobody consumes, then is back: at most three tries."""
    channel.exchange_declare("retry", "direct")
    channel.queue_declare("jobs", arguments={"x-dead-letter-exchange": "retry", "x-dead-letter-routing-key": "wait"})
    channel.queue_declare(
        "jobs.wait",
        arguments={"x-message-ttl": 100, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "jobs"},
    )
    channel.queue_bind("jobs.wait", "retry", "wait")
    channel.basic_publish("", "jobs", b"flaky")
    rejections = []
    for method, properties, _ in channel.consume("jobs", inactivity_timeout=30):
        assert method is not None, rejections
        rejections.append(death_count(properties, "jobs", "rejected"))
        if len(rejections) == 4:
            channel.basic_ack(method.delivery_tag)
            break
        channel.basic_reject(method.delivery_tag, requeue=False)
    channel.cancel()
    assert rejections == [0, 1, 2, 3]
    assert death_count(properties, "jobs.wait", "expired") == 3


def death_count(properties: pika.BasicProperties, queue: str, reason: str) -> int:
    """Return the number of deaths of a message in `queue` for `reason`, by its x-death header."""
    deaths = (properties.headers or {}).get("x-death", [])
    return sum(death["count"] for death in deaths if (death["queue"], death["reason"]) == (queue, reason))


def reject_to_dlq(channel: BlockingChannel) -> None:
    channel.exchange_declare("dead", "fanout")
    channel.queue_declare("dead")
    channel.queue_bind("dead", "dead")
    channel.queue_declare("fragile", arguments={"x-dead-letter-exchange": "dead"})
    channel.basic_publish("", "fragile", b"poison", pika.BasicProperties(headers={"attempt": 1}))
    method, _, _ = next(channel.consume("fragile", inactivity_timeout=30))
    assert method is not None
    channel.basic_nack(method.delivery_tag, requeue=False)
    channel.cancel()
    properties, body = next_message(channel, "dead")
    assert (body, properties.headers["attempt"]) == (b"poison", 1)
    assert death_count(properties, "fragile", "rejected") == 1
    assert properties.headers["x-first-death-queue"] == "fragile"


def reconnect() -> None:
    """The consuming loop a service would have: whenever the connection is lost, connect, declare and go on."""
    lost = 0
    restarted = False
    while True:
        connection = connect()
        try:
            channel = connection.channel()
            channel.queue_declare("steady", durable=True)
            channel.basic_publish("", "steady", b"still here" if restarted else b"before")
            for method, _, body in channel.consume("steady", inactivity_timeout=30):
                assert method is not None, "nothing came"
                channel.basic_ack(method.delivery_tag)
                if body == b"still here":
                    assert lost == 1, f"connection lost {lost} times"
                    connection.close()
                    return
                if not restarted:
                    restart_broker()
                    restarted = True
        except AMQPConnectionError as error:  # ConnectionClosedByBroker 320, or the socket is gone
            print(f"lost: {error!r}", file=sys.stderr)
            lost += 1


def large_message(channel: BlockingChannel) -> None:
    body = os.urandom(20 * 1024 * 1024)
    channel.queue_declare("large")
    channel.basic_publish("", "large", body, pika.BasicProperties(content_type="application/octet-stream"))
    properties, received = next_message(channel, "large")
    assert properties.content_type == "application/octet-stream"
    assert received == body


def channel_error(connection: pika.BlockingConnection) -> None:
    channel = connection.channel()
    with expect(ChannelClosedByBroker) as closed:
        channel.queue_declare("no.such.queue", passive=True)
    assert closed.error.reply_code == 404
    assert closed.error.reply_text == "NOT_FOUND - no queue 'no.such.queue' in vhost '/'", closed.error
    assert channel.is_closed

    channel = connection.channel()
    channel.queue_declare("settled", arguments={"x-message-ttl": 1000})
    with expect(ChannelClosedByBroker) as closed:
        channel.queue_declare("settled", arguments={"x-message-ttl": 2000})
    assert closed.error.reply_code == 406
    assert closed.error.reply_text == (
        "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'settled' in vhost '/': "
        "received '2000' but current is '1000'"
    ), closed.error

    channel = connection.channel()  # the connection has not suffered
    assert channel.queue_declare("settled", passive=True).method.message_count == 0
    channel.close()


def transactions(connection: pika.BlockingConnection) -> None:
    channel = connection.channel()
    channel.tx_select()
    channel.queue_declare("ledger")
    channel.basic_publish("", "ledger", b"undone")
    channel.tx_rollback()
    channel.basic_publish("", "ledger", b"done")
    assert channel.queue_declare("ledger", passive=True).method.message_count == 0
    channel.tx_commit()
    assert bodies(channel, "ledger", 1) == [b"done"]
    channel.tx_rollback()  # of the acknowledgement
    channel.close()
    assert bodies(connection.channel(), "ledger", 1) == [b"done"]


def direct_reply_to(channel: BlockingChannel) -> None:
    """A request and its answer without a reply queue; server and client share the connection here."""
    channel.queue_declare("square")
    answers = []

    def serve(channel: BlockingChannel, method: Basic.Deliver, properties: pika.BasicProperties, body: bytes) -> None:
        answer = str(int(body) ** 2).encode()
        channel.basic_publish(
            "", properties.reply_to, answer, pika.BasicProperties(correlation_id=properties.correlation_id)
        )
        channel.basic_ack(method.delivery_tag)

    def answered(
        channel: BlockingChannel, method: Basic.Deliver, properties: pika.BasicProperties, body: bytes
    ) -> None:
        answers.append((properties.correlation_id, body))
        channel.stop_consuming()

    channel.basic_consume("square", serve)
    channel.basic_consume("amq.rabbitmq.reply-to", answered, auto_ack=True)
    request = pika.BasicProperties(reply_to="amq.rabbitmq.reply-to", correlation_id="r1")
    channel.basic_publish("", "square", b"12", request)
    channel.connection.call_later(30, channel.stop_consuming)
    channel.start_consuming()
    assert answers == [("r1", b"144")]


def streams(connection: pika.BlockingConnection) -> None:
    """Messages stay in a stream, and each settled one allows the next delivery, even if it is to be requeued."""
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("journal", durable=True, arguments={"x-queue-type": "stream"})
    for number in range(5):
        channel.basic_publish("", "journal", str(number).encode())
    assert read_stream(connection, "first", 5) == [(0, b"0"), (1, b"1"), (2, b"2"), (3, b"3"), (4, b"4")]
    assert read_stream(connection, 3, 2) == [(3, b"3"), (4, b"4")]
    assert read_stream(connection, "last", 1) == [(4, b"4")]

    reader = connection.channel()
    reader.basic_qos(prefetch_count=2)
    tags: list[int] = []
    reader.basic_consume(
        "journal",
        lambda channel, method, properties, body: tags.append(method.delivery_tag),
        arguments={"x-stream-offset": "first"},
    )

    def delivered(count: int) -> None:
        for _ in range(300):
            if len(tags) == count:
                break
            connection.process_data_events(time_limit=0.1)
        connection.process_data_events(time_limit=0.1)
        assert len(tags) == count, f"{len(tags)} deliveries, not {count}"

    delivered(2)
    reader.basic_nack(tags[1], requeue=True)
    delivered(3)
    reader.basic_ack(tags[0])
    delivered(4)
    reader.close()
    channel.queue_delete("journal")
    channel.close()


def read_stream(connection: pika.BlockingConnection, offset: str | int, count: int) -> list[tuple[int, bytes]]:
    """Return the offsets and bodies of `count` messages from an offset on."""
    reader = connection.channel()
    reader.basic_qos(prefetch_count=2)
    found = []
    arguments = {"x-stream-offset": offset}
    for method, properties, body in reader.consume("journal", arguments=arguments, inactivity_timeout=30):
        assert method is not None, f"only {len(found)} of {count} messages came"
        reader.basic_ack(method.delivery_tag)
        found.append((properties.headers["x-stream-offset"], body))
        if len(found) == count:
            break
    reader.close()
    return found


def main() -> None:
    version("pika")
    connection = connect()
    channel = connection.channel()
    with check("topology"):
        topology(channel)
    with check("confirms"):
        confirms(connection)
    with check("mandatory-return"):
        mandatory_return(connection)
    with check("acks"):
        acks(connection.channel())
    with check("priorities"):
        priorities(connection)
    with check("ttl-dlx"):
        ttl_to_dlx(channel)
    with check("wait-retry"):
        wait_and_retry(channel)
    with check("reject-dlq"):
        reject_to_dlq(channel)
    with check("large-message"):
        large_message(channel)
    with check("channel-error"):
        channel_error(connection)
    with check("transactions"):
        transactions(connection)
    with check("streams"):
        streams(connection)
    with check("direct-reply-to"):
        direct_reply_to(channel)
    connection.close()
    with check("reconnect"):
        reconnect()
    finish()


if __name__ == "__main__":
    main()
