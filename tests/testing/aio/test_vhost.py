"""The awaitable methods of one vhost."""

import aio_pika

from amqpbroker.testing import AsyncBroker, AsyncVhost


async def test_methods_of_an_async_vhost_apply_to_that_vhost_only():
    async with AsyncBroker(vhosts=["v", "w"]) as broker:
        v, w = AsyncVhost(broker, "v"), AsyncVhost(broker, "w")
        async with await aio_pika.connect(v.url) as connection:
            channel = await connection.channel()
            await channel.declare_queue("q")
            await channel.default_exchange.publish(aio_pika.Message(b"1"), "q")
            await channel.default_exchange.publish(aio_pika.Message(b"2"), "nowhere", mandatory=False)
            assert (await v.wait_until(queue="q", ready=1)).vhost == str(v) == "v"
            assert [message.body for message in await v.messages("q")] == [b"1"]
            assert await v.delayed("q") == []
            assert await v.locked("q") == await v.groups("q") == []
            assert (await v.redrive("q", reason="expired")).skipped == 1
            assert [message.body for message in await v.published(count=2)] == [b"1", b"2"]
            assert [message.body for message in await v.unroutable()] == [b"2"]
            assert [await w.published(), await w.queues(), await w.unroutable(), await w.channel_errors()] == [[]] * 4
            await w.faults.nack()
            assert broker.faults.active == ["only(vhost='w').nack()"]
        assert repr(v) == "<vhost v>"
