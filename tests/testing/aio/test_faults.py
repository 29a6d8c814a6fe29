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


async def test_fault_of_an_async_broker_is_active_once_awaited(broker):
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


async def test_fault_ends_with_its_async_with_block(broker):
    async with broker.faults.only(vhost="/").drop(on="queue.declare") as drop:
        assert broker.faults.active == [repr(drop)] == ["only(vhost='/').drop(on='queue.declare')"]
    assert broker.faults.active == []


async def test_async_faults_are_cleared_one_by_one_or_all_at_once(broker):
    first, _ = await broker.faults.stop_reading(), await broker.faults.block()
    await first.clear()
    assert broker.faults.active == ["block()"]
    await broker.faults.unblock()
    assert broker.faults.active == []
    await broker.faults.stop_writing()
    await broker.faults.clear()
    assert broker.faults.active == []


async def test_wrong_argument_of_an_async_fault_is_an_error_before_await(broker):
    with pytest.raises(ValueError, match=r"on = .basic.pubish.: there is no such method; did you mean basic.publish\?"):
        broker.faults.reset(on="basic.pubish")
    with pytest.raises(TypeError, match=r"reset\(\) has no argument .when.; accepted: on"):
        broker.faults.reset(when="basic.publish")
    with pytest.raises(AttributeError, match="AsyncFaults has no attribute 'nak'; did you mean nack"):
        _ = broker.faults.nak


@pytest.mark.filterwarnings("default::RuntimeWarning")
async def test_async_fault_without_await_warns_and_is_not_active(broker):
    with pytest.warns(RuntimeWarning, match="never awaited"):
        broker.faults.nack()
    assert broker.faults.active == []
