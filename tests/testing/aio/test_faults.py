"""Awaitable faults: a call without `await` injects nothing, `async with` ends a fault."""

import aio_pika
import pytest

from amqpbroker.testing import AsyncBroker


@pytest.fixture
async def broker():
    async with AsyncBroker() as broker:
        yield broker


async def publish(channel):
    await channel.default_exchange.publish(aio_pika.Message(b"x"), "q")


async def test_a_fault_is_active_when_it_is_awaited(broker):
    nack = await broker.faults.nack(routing_key="q")
    assert broker.faults.active == ["nack(routing_key='q')"]
    async with await aio_pika.connect(broker.url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("q")
        with pytest.raises(aio_pika.exceptions.DeliveryError):
            await publish(channel)
        await publish(channel)
    assert nack.struck == 1
    assert [struck.fault for struck in broker.faults.happened] == ["nack(routing_key='q')"]
    assert "faults that triggered" in broker.faults.report()
    await broker.faults.forget()
    assert broker.faults.report() == ""


async def test_async_with_ends_it(broker):
    async with broker.faults.only(vhost="/").drop(on="queue.declare") as drop:
        assert broker.faults.active == [repr(drop)] == ["only(vhost='/').drop(on='queue.declare')"]
    assert broker.faults.active == []


async def test_one_or_all_are_cleared(broker):
    first, _ = await broker.faults.stop_reading(), await broker.faults.block()
    await first.clear()
    assert broker.faults.active == ["block()"]
    await broker.faults.unblock()
    assert broker.faults.active == []
    await broker.faults.stop_writing()
    await broker.faults.clear()
    assert broker.faults.active == []


async def test_a_wrong_argument_is_reported_at_the_call(broker):
    with pytest.raises(ValueError, match=r"on = .basic.pubish.: there is no such method; did you mean basic.publish\?"):
        broker.faults.reset(on="basic.pubish")
    with pytest.raises(TypeError, match=r"reset\(\) has no argument .when.; accepted: on"):
        broker.faults.reset(when="basic.publish")
    with pytest.raises(AttributeError, match="AsyncFaults has no attribute 'nak'; did you mean nack"):
        _ = broker.faults.nak


@pytest.mark.filterwarnings("default::RuntimeWarning")
async def test_a_forgotten_await_is_a_warning_of_python(broker):
    with pytest.warns(RuntimeWarning, match="never awaited"):
        broker.faults.nack()
    assert broker.faults.active == []
