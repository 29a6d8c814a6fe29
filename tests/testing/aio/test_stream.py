"""Streams with awaitable methods."""

import asyncio

import aio_pika

from amqpbroker.testing import AsyncBroker, AsyncVhost


async def test_a_stream_is_read_and_waited_for():
    async with AsyncBroker(vhosts=["v"]) as broker, await aio_pika.connect(broker.url_of("v")) as connection:
        channel = await connection.channel()
        await channel.declare_queue("events", durable=True, arguments={"x-queue-type": "stream"})
        events = AsyncVhost(broker, "v").stream("events")
        reading = asyncio.create_task(events.messages(count=2, timeout=60))
        for body in (b"a", b"b"):
            await channel.default_exchange.publish(aio_pika.Message(body), "events")
        assert [each.body for each in await reading] == [b"a", b"b"]
        assert [each.offset for each in await broker.stream("events").messages(offset=1)] == [1]
        assert (await events.first_offset(), await events.next_offset()) == (0, 2)
        assert repr(events) == "<stream events>"
