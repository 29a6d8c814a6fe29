"""The awaitable broker, in asyncio: it does what the blocking one does, while the test's event loop goes on."""

import asyncio
import datetime
import inspect

import aio_pika
import pytest

from amqpbroker.testing import AsyncBroker, AsyncVhost, Broker, Vhost
from amqpbroker.testing.aio.clock import AsyncBrokerClock
from amqpbroker.testing.aio.faults import AsyncFaults
from amqpbroker.testing.clock import BrokerClock
from amqpbroker.testing.faults.api import Faults


@pytest.fixture
async def broker():
    async with AsyncBroker(vhosts=["v"]) as broker:
        yield broker


@pytest.fixture
async def channel(broker):
    async with await aio_pika.connect(broker.url) as connection:
        yield await connection.channel()


async def test_a_client_on_the_same_event_loop_publishes_while_the_test_waits(broker, channel):
    await channel.declare_queue("q")

    async def publish():
        await asyncio.sleep(0.01)
        await channel.default_exchange.publish(aio_pika.Message(b"hello"), "q")

    publishing = asyncio.create_task(publish())
    state = await broker.wait_until(queue="q", ready=1, timeout=60)
    await publishing
    assert (state.vhost, state.name, state.ready) == ("/", "q", 1)
    assert [message.body for message in await broker.messages("q")] == [b"hello"]
    assert await broker.delayed("q") == []
    assert [queue.name for queue in await broker.queues()] == ["q"]
    assert len(await broker.published(routing_key="q", count=1)) == 1


async def test_async_broker_shows_locked_messages(broker, channel):
    queue = await channel.declare_queue(
        "q", arguments={"x-consumer-timeout": 60_000, "x-consumer-timeout-action": "return"}
    )
    await channel.default_exchange.publish(aio_pika.Message(b"job"), "q")
    await broker.clock.freeze()
    got = await queue.get()
    await broker.clock.advance(seconds=20)
    (locked,) = await broker.locked("q")
    assert (locked.message.body, locked.consumer, locked.delivery_tag) == (b"job", None, got.delivery_tag)
    assert (locked.action, locked.ms_left) == ("return", 40_000)
    await broker.clock.advance(seconds=40)
    assert await broker.locked("q") == []
    with pytest.raises(AssertionError, match="there is no queue 'absent'"):
        await broker.locked("absent")


async def test_failed_async_wait_raises_the_error_of_the_blocking_wait(broker, channel):
    await channel.declare_queue("orders")
    with pytest.raises(AssertionError, match="there is no queue 'ordres'; did you mean 'orders'"):
        await broker.wait_until(queue="ordres", timeout=0)
    with pytest.raises(AssertionError, match="0 messages were published to exchange 'x', not 1"):
        await broker.published(exchange="x", count=1, timeout=0)
    with pytest.raises(ValueError, match="ready = -1: this must be a whole number"):
        await broker.wait_until(queue="orders", ready=-1)
    with pytest.raises(TypeError, match=r"wait_until\(\) has no argument 'redy'; did you mean ready=\?"):
        await broker.wait_until(queue="orders", redy=1)


async def test_many_waits_at_once_need_no_threads(broker, channel):
    """More of them than asyncio has worker threads."""
    waits = [asyncio.create_task(broker.wait_until(queue=f"q{number}", timeout=60)) for number in range(50)]
    for number in reversed(range(50)):
        await channel.declare_queue(f"q{number}")
    assert [state.name for state in await asyncio.gather(*waits)] == [f"q{number}" for number in range(50)]


async def test_cancelled_async_wait_also_ends_in_the_broker(broker):
    async def tasks():
        return len(asyncio.all_tasks())

    before = broker.sync._host.run(tasks())
    waiting = asyncio.create_task(broker.wait_until(queue="never", timeout=60))
    await asyncio.sleep(0.02)
    assert broker.sync._host.run(tasks()) > before
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await broker.wait_until(queue="never", timeout=60)
    await asyncio.sleep(0.02)
    assert broker.sync._host.run(tasks()) == before


async def test_async_wait_fails_when_the_broker_stops(broker):
    waiting = asyncio.create_task(broker.wait_until(queue="never", timeout=60))
    await asyncio.sleep(0.02)
    await broker.stop()
    with pytest.raises(RuntimeError, match="stopped during this call"):
        await waiting
    with pytest.raises(RuntimeError, match="not running"):
        await broker.queues()
    assert not broker.running


async def test_async_call_to_a_busy_broker_times_out(broker, monkeypatch):
    monkeypatch.setattr(broker.sync._host, "patience_s", 0.01)
    with pytest.raises(TimeoutError, match=r"a slow call has not returned after 0.01 s: the broker's thread is in"):
        await broker._run(asyncio.sleep(60), what="a slow call")


async def test_async_broker_manages_vhosts_and_records_channel_errors(broker):
    url = await broker.add_vhost("w")
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.default_exchange.publish(aio_pika.Message(b"lost"), "nowhere", mandatory=False)
        with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
            await channel.declare_queue("absent", passive=True)
        assert [message.body for message in await broker.unroutable(vhost="w")] == [b"lost"]
        assert await broker.unroutable(vhost="/") == []
        assert [error.code for error in await broker.channel_errors()] == [404]
    await broker.delete_vhost("w")
    await broker.delete_vhost("w", missing_ok=True)
    with pytest.raises(LookupError, match="vhost 'w' does not exist; the vhosts are '/', 'v'"):
        await broker.delete_vhost("w")


async def test_clock_of_an_async_broker_is_advanced_and_frozen(broker, channel):
    arguments = {"x-message-ttl": 3_600_000, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "late"}
    await channel.declare_queue("early", arguments=arguments)
    await channel.declare_queue("late")
    await channel.default_exchange.publish(aio_pika.Message(b"x"), "early")
    await broker.clock.freeze()
    assert broker.clock.frozen
    before = await broker.clock.now()
    await broker.clock.advance(hours=1)
    assert await broker.clock.now() == before + datetime.timedelta(hours=1)
    await broker.wait_until(queue="late", ready=1, timeout=0)
    await broker.clock.resume()
    assert not broker.clock.frozen


async def test_async_broker_keeps_durable_queues_and_its_port_after_restart(broker):
    async with await aio_pika.connect(broker.url) as connection:
        await (await connection.channel()).declare_queue("q", durable=True)
    port = broker.port
    await broker.restart()
    assert (broker.port, [queue.name for queue in await broker.queues()]) == (port, ["q"])
    with pytest.raises(ValueError, match="down = -1"):
        await broker.restart(down=-1)


def test_async_broker_has_all_methods_of_the_blocking_broker():
    def public(kind):
        return {name for name in dir(kind) if not name.startswith("_")}

    def parameters(kind, name):
        return [str(each) for each in inspect.signature(getattr(kind, name)).parameters.values()]

    for blocking, awaitable in ((Broker, AsyncBroker), (Vhost, AsyncVhost), (BrokerClock, AsyncBrokerClock)):
        assert public(blocking) - public(awaitable) <= {"unroutable_in", "channel_errors_in"}
        for name in public(blocking) & public(awaitable) - {"unroutable", "channel_errors"}:
            if callable(getattr(blocking, name)):
                assert parameters(blocking, name) == parameters(awaitable, name), name
    assert public(Faults) <= public(AsyncFaults)
    assert parameters(Broker, "__init__") == parameters(AsyncBroker, "__init__")


def test_async_broker_works_on_several_event_loops():
    with Broker() as b:
        broker = AsyncBroker.from_broker(b)
        assert broker.sync is b
        for _ in range(2):
            assert asyncio.run(broker.queues()) == []
        assert broker.url == b.url
