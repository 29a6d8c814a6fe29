"""aio-pika's robust connection: it reconnects by itself and restores channels, queues, bindings and consumers.

Run by `python -m interop aio_pika`.
"""

from __future__ import annotations

import asyncio
import os

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue, AbstractRobustConnection
from aio_pika.exceptions import (
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    DeliveryError,
    PublishError,
)
from aio_pika.patterns import RPC, Master

from interop.checks import AMQP_URL, check, expect, finish, restart_broker, version


async def take(queue: AbstractQueue, count: int) -> list[AbstractIncomingMessage]:
    """Consume and acknowledge `count` messages."""
    messages = []
    async with queue.iterator(timeout=30) as deliveries:
        async for message in deliveries:
            async with message.process():
                messages.append(message)
            if len(messages) == count:
                break
    return messages


async def send(channel: AbstractChannel, queue: str, body: bytes, **properties: object) -> None:
    await channel.default_exchange.publish(aio_pika.Message(body, **properties), routing_key=queue)


async def topology(channel: AbstractChannel) -> None:
    kinds = aio_pika.ExchangeType
    stock = await channel.declare_exchange("stock", kinds.TOPIC, durable=True)
    news = await channel.declare_exchange("news", kinds.FANOUT, durable=True)
    files = await channel.declare_exchange("files", kinds.HEADERS)
    nasdaq = await channel.declare_queue("nasdaq", durable=True)
    closing = await channel.declare_queue("closing", durable=True)
    archive = await channel.declare_queue("archive", durable=True)
    reports = await channel.declare_queue("reports", auto_delete=True)
    await nasdaq.bind(stock, "nasdaq.*")
    await closing.bind(stock, "*.close")
    await archive.bind(news)
    await news.bind(stock, "#")
    await reports.bind(files, arguments={"x-match": "all", "type": "report", "year": 2024})

    await stock.publish(aio_pika.Message(b"1"), "nasdaq.open")
    await stock.publish(aio_pika.Message(b"2"), "dax.close")
    await stock.publish(aio_pika.Message(b"3"), "nasdaq.close")
    await news.publish(aio_pika.Message(b"4"), "")
    await files.publish(aio_pika.Message(b"5", headers={"type": "report", "year": 2024, "by": "me"}), "")
    assert [message.body for message in await take(nasdaq, 2)] == [b"1", b"3"]
    assert [message.body for message in await take(closing, 2)] == [b"2", b"3"]
    assert [message.body for message in await take(archive, 4)] == [b"1", b"2", b"3", b"4"]
    assert [message.body for message in await take(reports, 1)] == [b"5"]


async def confirms(connection: AbstractRobustConnection) -> None:
    """A publish returns when it is confirmed; many may be under way at once."""
    async with connection.channel(publisher_confirms=True) as channel:
        queue = await channel.declare_queue("confirmed", durable=True)
        persistent = aio_pika.DeliveryMode.PERSISTENT
        sends = [send(channel, "confirmed", b"%d" % number, delivery_mode=persistent) for number in range(300)]
        await asyncio.gather(*sends)
        state = await queue.declare()
        assert state.message_count == 300

        limits = {"x-max-length": 1, "x-overflow": "reject-publish"}
        await channel.declare_queue("full", arguments=limits)
        await send(channel, "full", b"fits")
        with expect(DeliveryError):
            await send(channel, "full", b"does not fit")


async def mandatory_return(connection: AbstractRobustConnection) -> None:
    async with connection.channel(on_return_raises=True) as channel:
        with expect(PublishError) as returned:
            await send(channel, "no.such.queue", b"lost?")
    assert returned.error.message.delivery.reply_code == 312
    assert returned.error.message.delivery.reply_text == "NO_ROUTE"
    assert returned.error.message.body == b"lost?"


async def acks(connection: AbstractRobustConnection) -> None:
    """Each message is taken twice: the first time it is put back."""
    async with connection.channel() as channel:
        await channel.set_qos(prefetch_count=1)
        queue = await channel.declare_queue("work")
        for body in (b"a", b"b"):
            await send(channel, "work", body)
        seen = []
        async with queue.iterator(timeout=30) as deliveries:
            async for message in deliveries:
                seen.append((message.body, message.redelivered))
                if message.redelivered:
                    await message.ack()
                else:
                    await message.nack(requeue=True)
                if len(seen) == 4:
                    break
        assert seen == [(b"a", False), (b"a", True), (b"b", False), (b"b", True)], seen
        assert (await queue.declare()).message_count == 0


async def priorities(channel: AbstractChannel) -> None:
    queue = await channel.declare_queue("triage", arguments={"x-max-priority": 5})
    for priority in (0, 3, 1, 5, 3):
        await send(channel, "triage", b"%d" % priority, priority=priority)
    assert [message.body for message in await take(queue, 5)] == [b"5", b"3", b"3", b"1", b"0"]


async def ttl_to_dlx(channel: AbstractChannel) -> None:
    late = await channel.declare_exchange("late", aio_pika.ExchangeType.FANOUT)
    missed = await channel.declare_queue("missed")
    await missed.bind(late)
    await channel.declare_queue("slots", arguments={"x-dead-letter-exchange": "late"})
    await send(channel, "slots", b"milk", expiration=0.1, message_id="m1")  # seconds here, "100" on the wire
    (message,) = await take(missed, 1)
    assert (message.body, message.message_id, message.expiration) == (b"milk", "m1", None)
    (death,) = message.headers["x-death"]
    assert (death["queue"], death["reason"], death["count"]) == ("slots", "expired", 1)
    assert death["original-expiration"] == "100"


async def wait_and_retry(channel: AbstractChannel) -> None:
    """A rejected job waits 100 ms in a queue that nobody consumes, then is back; the fourth try succeeds."""
    jobs = await channel.declare_queue(
        "jobs", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "jobs.wait"}
    )
    await channel.declare_queue(
        "jobs.wait",
        arguments={"x-message-ttl": 100, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "jobs"},
    )
    await send(channel, "jobs", b"flaky")
    tries = []
    async with jobs.iterator(timeout=30) as deliveries:
        async for message in deliveries:
            tries.append((death_count(message, "jobs", "rejected"), death_count(message, "jobs.wait", "expired")))
            if len(tries) == 4:
                await message.ack()
                break
            await message.reject(requeue=False)
    assert tries == [(0, 0), (1, 1), (2, 2), (3, 3)], tries


def death_count(message: AbstractIncomingMessage, queue: str, reason: str) -> int:
    """Return the number of deaths of a message in `queue` for `reason`, by its x-death header."""
    deaths = message.headers.get("x-death", [])
    return sum(death["count"] for death in deaths if (death["queue"], death["reason"]) == (queue, reason))


async def reject_to_dlq(channel: AbstractChannel) -> None:
    exchange = await channel.declare_exchange("dead", aio_pika.ExchangeType.DIRECT)
    dead = await channel.declare_queue("dead")
    await dead.bind(exchange, "from.fragile")
    fragile = await channel.declare_queue(
        "fragile", arguments={"x-dead-letter-exchange": "dead", "x-dead-letter-routing-key": "from.fragile"}
    )
    await send(channel, "fragile", b"poison", headers={"attempt": 1})
    async with fragile.iterator(timeout=30) as deliveries:
        async for message in deliveries:
            with expect(ValueError):
                async with message.process():  # rejects without requeue when its block raises
                    raise ValueError("cannot digest this")
            break
    (message,) = await take(dead, 1)
    assert (message.body, message.headers["attempt"], message.routing_key) == (b"poison", 1, "from.fragile")
    assert death_count(message, "fragile", "rejected") == 1


async def large_message(channel: AbstractChannel) -> None:
    sent = os.urandom(20 * 1024 * 1024)
    queue = await channel.declare_queue("large")
    await send(channel, "large", sent)
    (message,) = await take(queue, 1)
    assert message.body == sent


async def channel_error(connection: AbstractRobustConnection) -> None:
    channel = await connection.channel()
    with expect(ChannelNotFoundEntity) as missing:
        await channel.declare_queue("no.such.queue", passive=True)
    assert str(missing.error) == "NOT_FOUND - no queue 'no.such.queue' in vhost '/'", missing.error

    channel = await connection.channel()
    await channel.declare_queue("settled", arguments={"x-max-length": 100_000})
    with expect(ChannelPreconditionFailed) as inequivalent:
        await channel.declare_queue("settled")
    assert str(inequivalent.error) == (
        "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'settled' in vhost '/': "
        "received none but current is the value '100000' of type 'signedint'"
    ), inequivalent.error

    async with connection.channel() as channel:  # the connection has not suffered
        await channel.get_queue("settled")
    assert not connection.is_closed


async def rpc_pattern(connection: AbstractRobustConnection) -> None:
    """aio-pika's own request and reply: an exclusive reply queue, and a dead-letter exchange for lost requests."""
    async with connection.channel() as channel:
        rpc = await RPC.create(channel)

        async def multiply(*, x: int, y: int) -> int:
            return x * y

        await rpc.register("multiply", multiply, auto_delete=True)
        answers = await asyncio.gather(*(rpc.proxy.multiply(x=number, y=3) for number in range(20)))
        assert answers == [number * 3 for number in range(20)]
        with expect(aio_pika.exceptions.MessageProcessError):
            await rpc.call("nobody.serves.this", {}, expiration=1)
        await rpc.close()


async def worker_pattern(connection: AbstractRobustConnection) -> None:
    async with connection.channel() as channel:
        await channel.set_qos(prefetch_count=2)
        master = Master(channel)
        done: asyncio.Queue[int] = asyncio.Queue()

        async def work(*, task_id: int) -> None:
            await done.put(task_id)

        worker = await master.create_worker("tasks", work, auto_delete=True)
        for number in range(10):
            await master.proxy.tasks(task_id=number)
        assert sorted([await asyncio.wait_for(done.get(), 5) for _ in range(10)]) == list(range(10))
        await worker.close()


async def streams(connection: AbstractRobustConnection) -> None:
    """Messages stay in a stream, and each settled one allows the next delivery, even if it is to be requeued."""
    async with connection.channel() as channel:
        await channel.declare_queue("journal", durable=True, arguments={"x-queue-type": "stream"})
        for number in range(5):  # each is confirmed
            await send(channel, "journal", b"%d" % number)
    assert await read_stream(connection, "first", 5) == [(0, b"0"), (1, b"1"), (2, b"2"), (3, b"3"), (4, b"4")]
    assert await read_stream(connection, 3, 2) == [(3, b"3"), (4, b"4")]
    assert await read_stream(connection, "last", 1) == [(4, b"4")]

    async with connection.channel() as channel:
        await channel.set_qos(prefetch_count=2)
        queue = await channel.get_queue("journal")
        deliveries: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        await queue.consume(deliveries.put, arguments={"x-stream-offset": "first"})
        first, second = [await asyncio.wait_for(deliveries.get(), 30) for _ in range(2)]
        await asyncio.sleep(0.1)
        assert deliveries.empty()
        await second.nack(requeue=True)
        await first.ack()
        offsets = [(await asyncio.wait_for(deliveries.get(), 30)).headers["x-stream-offset"] for _ in range(2)]
        assert offsets == [2, 3], offsets
        await asyncio.sleep(0.1)
        assert deliveries.empty()
    async with connection.channel() as channel:
        await channel.queue_delete("journal")


async def read_stream(
    connection: AbstractRobustConnection, offset: str | int, count: int
) -> list[tuple[object, bytes]]:
    """Return the offsets and bodies of `count` messages from an offset on."""
    async with connection.channel() as channel:
        await channel.set_qos(prefetch_count=2)
        queue = await channel.get_queue("journal")
        found = []
        async with queue.iterator(timeout=30, arguments={"x-stream-offset": offset}) as deliveries:
            async for message in deliveries:
                async with message.process():
                    found.append((message.headers["x-stream-offset"], message.body))
                if len(found) == count:
                    break
        return found


async def reconnect(connection: AbstractRobustConnection) -> None:
    """The consumer below is never told of the restart: its queue, binding and consumer are restored under it."""
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=10)
    exchange = await channel.declare_exchange("beats", aio_pika.ExchangeType.FANOUT, durable=True)
    queue = await channel.declare_queue("steady", auto_delete=True)
    await queue.bind(exchange)
    received: asyncio.Queue[bytes] = asyncio.Queue()

    async def on_message(message: AbstractIncomingMessage) -> None:
        async with message.process():
            await received.put(message.body)

    await queue.consume(on_message)
    await exchange.publish(aio_pika.Message(b"before"), "")
    assert await asyncio.wait_for(received.get(), 5) == b"before"

    reconnected = asyncio.Event()
    connection.reconnect_callbacks.add(lambda *_: reconnected.set())
    await asyncio.to_thread(restart_broker)
    await asyncio.wait_for(reconnected.wait(), 20)
    await exchange.publish(aio_pika.Message(b"still here"), "")
    assert await asyncio.wait_for(received.get(), 5) == b"still here"


async def run() -> None:
    connection = await aio_pika.connect_robust(AMQP_URL, reconnect_interval=0.5)
    async with connection:
        with check("topology"):
            await topology(await connection.channel())
        with check("confirms"):
            await confirms(connection)
        with check("mandatory-return"):
            await mandatory_return(connection)
        with check("acks"):
            await acks(connection)
        async with connection.channel() as channel:
            with check("priorities"):
                await priorities(channel)
            with check("ttl-dlx"):
                await ttl_to_dlx(channel)
            with check("wait-retry"):
                await wait_and_retry(channel)
            with check("reject-dlq"):
                await reject_to_dlq(channel)
            with check("large-message"):
                await large_message(channel)
        with check("channel-error"):
            await channel_error(connection)
        with check("rpc-pattern"):
            await rpc_pattern(connection)
        with check("worker-pattern"):
            await worker_pattern(connection)
        with check("streams"):
            await streams(connection)
        with check("reconnect"):
            await reconnect(connection)


if __name__ == "__main__":
    version("aio-pika")
    asyncio.run(run())
    finish()
