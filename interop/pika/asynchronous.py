"""pika's AsyncioConnection: every call answers through a callback; here a callback completes a future.

Run by `python -m interop pika-asyncio`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any

import pika
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker
from pika.spec import Basic

from interop.checks import AMQP_URL, check, expect, finish, restart_broker, version

Message = tuple[Basic.Deliver, pika.BasicProperties, bytes]


async def connect() -> AsyncioConnection:
    """Open a connection, trying again for some seconds while the broker is away."""
    parameters = pika.URLParameters(AMQP_URL)
    for _ in range(50):
        opened: asyncio.Future[AsyncioConnection] = asyncio.get_running_loop().create_future()
        AsyncioConnection(
            parameters,
            on_open_callback=opened.set_result,
            on_open_error_callback=lambda _, error, opened=opened: opened.set_exception(error),
            on_close_callback=lambda *_: None,
        )
        try:
            return await asyncio.wait_for(opened, 10)
        except pika.exceptions.AMQPConnectionError:
            await asyncio.sleep(0.2)
    raise TimeoutError(f"no broker at {AMQP_URL}")


async def open_channel(connection: AsyncioConnection) -> Channel:
    opened: asyncio.Future[Channel] = asyncio.get_running_loop().create_future()
    connection.channel(on_open_callback=opened.set_result)
    return await asyncio.wait_for(opened, 5)


def closing(channel: Channel) -> asyncio.Future[Exception]:
    """A future that gets the reason when the channel is closed."""
    closed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
    channel.add_on_close_callback(lambda _, reason: closed.done() or closed.set_result(reason))
    return closed


async def call(method: Callable[..., object], *arguments: Any, **keywords: Any) -> Any:
    """Call a channel's method that takes `callback`; its answer, or the error that closed the channel instead."""
    channel: Channel = method.__self__  # type: ignore[attr-defined]
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    closed = closing(channel)
    method(*arguments, callback=answer.set_result, **keywords)
    await asyncio.wait((answer, closed), timeout=30, return_when=asyncio.FIRST_COMPLETED)
    if closed.done():
        raise closed.result()
    assert answer.done(), f"{method} was not answered"
    return answer.result()


async def consume(channel: Channel, queue: str) -> tuple[str, asyncio.Queue[Message]]:
    """Start a consumer; its tag, and the queue that its deliveries are put into."""
    deliveries: asyncio.Queue[Message] = asyncio.Queue()

    def delivered(channel: Channel, method: Basic.Deliver, properties: pika.BasicProperties, body: bytes) -> None:
        deliveries.put_nowait((method, properties, body))

    frame = await call(channel.basic_consume, queue, delivered)
    return frame.method.consumer_tag, deliveries


async def take(channel: Channel, queue: str, count: int) -> list[Message]:
    """Consume and acknowledge `count` messages, then cancel the consumer."""
    tag, deliveries = await consume(channel, queue)
    messages = []
    for _ in range(count):
        messages.append(await asyncio.wait_for(deliveries.get(), 30))
        channel.basic_ack(messages[-1][0].delivery_tag)
    await call(channel.basic_cancel, tag)
    return messages


async def has(channel: Channel, queue: str, count: int) -> None:
    """Wait until `count` messages are ready: what was published without confirms may still be on its way."""
    for _ in range(1500):
        frame = await call(channel.queue_declare, queue, passive=True)
        if frame.method.message_count == count:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{frame.method.message_count} messages in {queue}, not {count}")


async def topology(channel: Channel) -> None:
    await call(channel.exchange_declare, "logs", "topic", durable=True)
    await call(channel.exchange_declare, "alerts", "fanout", durable=True)
    await call(channel.exchange_declare, "by-kind", "headers")
    await call(channel.exchange_declare, "unrouted", "direct")
    await call(channel.exchange_declare, "inbox", "direct", arguments={"alternate-exchange": "alerts"})
    await call(channel.exchange_bind, "alerts", "logs", "*.error")
    for queue, exchange, key, arguments in (
        ("errors", "alerts", "", None),
        ("kernel", "logs", "kernel.#", None),
        ("pdf", "by-kind", "", {"x-match": "any", "format": "pdf", "pages": 1}),
    ):
        await call(channel.queue_declare, queue, durable=True)
        await call(channel.queue_bind, queue, exchange, key, arguments)
    channel.basic_publish("logs", "kernel.error", b"1")
    channel.basic_publish("logs", "kernel.a.b", b"2")
    channel.basic_publish("inbox", "nobody", b"3")
    channel.basic_publish("by-kind", "", b"4", pika.BasicProperties(headers={"format": "pdf", "pages": 7}))
    assert [body for _, _, body in await take(channel, "errors", 2)] == [b"1", b"3"]
    assert [body for _, _, body in await take(channel, "kernel", 2)] == [b"1", b"2"]
    assert [body for _, _, body in await take(channel, "pdf", 1)] == [b"4"]

    private = await call(channel.queue_declare, "", exclusive=True)
    assert private.method.queue.startswith("amq.gen-")
    await call(channel.queue_delete, private.method.queue)
    await call(channel.exchange_delete, "unrouted")


async def confirms(connection: AsyncioConnection) -> None:
    """Publish at full speed and count the confirms as they come, many at a time."""
    channel = await open_channel(connection)
    unconfirmed = set(range(1, 501))
    nacked: set[int] = set()
    all_told = asyncio.Event()

    def told(frame: Any) -> None:
        tag, multiple = frame.method.delivery_tag, frame.method.multiple
        settled = {other for other in unconfirmed if other <= tag} if multiple else {tag}
        assert settled, frame
        if isinstance(frame.method, Basic.Nack):
            nacked.update(settled)
        unconfirmed.difference_update(settled)
        if not unconfirmed:
            all_told.set()

    await call(channel.confirm_delivery, told)
    await call(channel.queue_declare, "fast", arguments={"x-max-length": 400, "x-overflow": "reject-publish"})
    for number in range(500):
        channel.basic_publish("", "fast", str(number).encode(), pika.BasicProperties(delivery_mode=2))
    await asyncio.wait_for(all_told.wait(), 10)
    await has(channel, "fast", 400)
    assert nacked == set(range(401, 501))
    channel.close()


async def mandatory_return(channel: Channel) -> None:
    returned: asyncio.Future[tuple[Basic.Return, bytes]] = asyncio.get_running_loop().create_future()
    channel.add_on_return_callback(lambda _, method, properties, body: returned.set_result((method, body)))
    channel.basic_publish("amq.direct", "nobody", b"lost?", mandatory=True)
    method, body = await asyncio.wait_for(returned, 5)
    assert (method.reply_code, method.reply_text, method.exchange) == (312, "NO_ROUTE", "amq.direct")
    assert (method.routing_key, body) == ("nobody", b"lost?")


async def acks(connection: AsyncioConnection) -> None:
    """The fourth message with a prefetch of 3 waits for an ack; unacknowledged messages are redelivered."""
    channel = await open_channel(connection)
    await call(channel.basic_qos, prefetch_count=3)
    await call(channel.queue_declare, "window")
    for number in range(5):
        channel.basic_publish("", "window", str(number).encode())
    _, deliveries = await consume(channel, "window")
    first = [await asyncio.wait_for(deliveries.get(), 30) for _ in range(3)]
    await has(channel, "window", 2)
    assert deliveries.empty()
    channel.basic_ack(first[1][0].delivery_tag, multiple=True)
    more = [await asyncio.wait_for(deliveries.get(), 30) for _ in range(2)]
    assert [body for _, _, body in more] == [b"3", b"4"]
    closed = closing(channel)
    channel.close()
    await asyncio.wait_for(closed, 5)

    channel = await open_channel(connection)
    left = await take(channel, "window", 3)
    assert [(method.redelivered, body) for method, _, body in left] == [(True, b"2"), (True, b"3"), (True, b"4")]


async def priorities(channel: Channel) -> None:
    await call(channel.queue_declare, "triage", arguments={"x-max-priority": 5})
    for priority in (0, 3, 1, 5, 3):
        channel.basic_publish("", "triage", str(priority).encode(), pika.BasicProperties(priority=priority))
    await has(channel, "triage", 5)
    assert [body for _, _, body in await take(channel, "triage", 5)] == [b"5", b"3", b"3", b"1", b"0"]


async def ttl_to_dlx(channel: Channel) -> None:
    await call(channel.exchange_declare, "late", "topic")
    await call(channel.queue_declare, "late")
    await call(channel.queue_bind, "late", "late", "#")
    await call(channel.queue_declare, "slots", arguments={"x-dead-letter-exchange": "late"})
    channel.basic_publish("", "slots", b"short", pika.BasicProperties(expiration="50"))
    channel.basic_publish("", "slots", b"long", pika.BasicProperties(expiration="60000"))
    ((method, properties, body),) = await take(channel, "late", 1)
    assert (method.exchange, method.routing_key, body) == ("late", "slots", b"short")
    assert death_count(properties, "slots", "expired") == 1
    await has(channel, "slots", 1)


async def wait_and_retry(channel: Channel) -> None:
    """Reject into a wait queue, whose TTL brings the message back, until it has been tried three times."""
    await call(
        channel.queue_declare,
        "task",
        arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "task.wait"},
    )
    await call(
        channel.queue_declare,
        "task.wait",
        arguments={"x-message-ttl": 80, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "task"},
    )
    channel.basic_publish("", "task", b"flaky")
    tag, deliveries = await consume(channel, "task")
    for attempt in range(4):
        method, properties, _ = await asyncio.wait_for(deliveries.get(), 30)
        assert death_count(properties, "task", "rejected") == attempt
        assert death_count(properties, "task.wait", "expired") == attempt
        if attempt < 3:
            channel.basic_reject(method.delivery_tag, requeue=False)
    channel.basic_ack(method.delivery_tag)
    await call(channel.basic_cancel, tag)


def death_count(properties: pika.BasicProperties, queue: str, reason: str) -> int:
    """Return the number of deaths of a message in `queue` for `reason`, by its x-death header."""
    deaths = (properties.headers or {}).get("x-death", [])
    return sum(death["count"] for death in deaths if (death["queue"], death["reason"]) == (queue, reason))


async def reject_to_dlq(channel: Channel) -> None:
    await call(channel.queue_declare, "morgue")
    await call(
        channel.queue_declare,
        "patients",
        arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "morgue"},
    )
    for body in (b"well", b"ill", b"worse"):
        channel.basic_publish("", "patients", body)
    tag, deliveries = await consume(channel, "patients")
    for _ in range(3):
        method, _, body = await asyncio.wait_for(deliveries.get(), 30)
        if body == b"well":
            channel.basic_ack(method.delivery_tag)
    channel.basic_nack(method.delivery_tag, multiple=True, requeue=False)
    await call(channel.basic_cancel, tag)
    dead = await take(channel, "morgue", 2)
    assert [body for _, _, body in dead] == [b"ill", b"worse"]
    assert all(death_count(properties, "patients", "rejected") == 1 for _, properties, _ in dead)


async def consumer_cancelled(channel: Channel) -> None:
    """The broker tells a consumer when its queue is deleted."""
    await call(channel.queue_declare, "doomed")
    tag, _ = await consume(channel, "doomed")
    cancelled: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    channel.add_on_cancel_callback(lambda frame: cancelled.set_result(frame.method.consumer_tag))
    await call(channel.queue_delete, "doomed")
    assert await asyncio.wait_for(cancelled, 5) == tag


async def large_message(channel: Channel) -> None:
    sent = os.urandom(20 * 1024 * 1024)
    await call(channel.queue_declare, "large")
    channel.basic_publish("", "large", sent)
    ((_, _, received),) = await take(channel, "large", 1)
    assert received == sent


async def channel_error(connection: AsyncioConnection) -> None:
    channel = await open_channel(connection)
    with expect(ChannelClosedByBroker) as closed:
        await call(channel.exchange_declare, "no.such.exchange", passive=True)
    assert closed.error.reply_code == 404
    assert closed.error.reply_text == "NOT_FOUND - no exchange 'no.such.exchange' in vhost '/'", closed.error

    channel = await open_channel(connection)
    await call(channel.exchange_declare, "settled", "direct")
    with expect(ChannelClosedByBroker) as closed:
        await call(channel.exchange_declare, "settled", "fanout")
    assert closed.error.reply_code == 406
    assert closed.error.reply_text == (
        "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'settled' in vhost '/': "
        "received 'fanout' but current is 'direct'"
    ), closed.error

    channel = await open_channel(connection)
    unknown_tag = closing(channel)
    channel.basic_ack(99)
    error = await asyncio.wait_for(unknown_tag, 5)
    assert isinstance(error, ChannelClosedByBroker)
    assert (error.reply_code, error.reply_text) == (406, "PRECONDITION_FAILED - unknown delivery tag 99")

    channel = await open_channel(connection)  # the connection has not suffered
    await call(channel.exchange_declare, "settled", passive=True)


async def reconnect(connection: AsyncioConnection) -> None:
    """Lose the connection while consuming, learn why, connect again and declare again."""
    lost: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
    connection.add_on_close_callback(lambda _, reason: lost.set_result(reason))
    channel = await open_channel(connection)
    await call(channel.queue_declare, "steady", durable=True)
    await consume(channel, "steady")
    await asyncio.to_thread(restart_broker)
    reason = await asyncio.wait_for(lost, 5)
    print(f"lost: {reason!r}", file=sys.stderr)
    assert isinstance(reason, ConnectionClosedByBroker), reason
    assert reason.reply_code == 320
    assert reason.reply_text == "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"

    connection = await connect()
    channel = await open_channel(connection)
    await call(channel.queue_declare, "steady", durable=True)
    channel.basic_publish("", "steady", b"still here")
    ((_, _, body),) = await take(channel, "steady", 1)
    assert body == b"still here"
    connection.close()


async def run() -> None:
    connection = await connect()
    channel = await open_channel(connection)
    with check("topology"):
        await topology(channel)
    with check("confirms"):
        await confirms(connection)
    with check("mandatory-return"):
        await mandatory_return(channel)
    with check("acks"):
        await acks(connection)
    with check("priorities"):
        await priorities(channel)
    with check("ttl-dlx"):
        await ttl_to_dlx(channel)
    with check("wait-retry"):
        await wait_and_retry(channel)
    with check("reject-dlq"):
        await reject_to_dlq(channel)
    with check("consumer-cancelled"):
        await consumer_cancelled(channel)
    with check("large-message"):
        await large_message(channel)
    with check("channel-error"):
        await channel_error(connection)
    with check("reconnect"):
        await reconnect(connection)


if __name__ == "__main__":
    version("pika")
    asyncio.run(run())
    finish()
