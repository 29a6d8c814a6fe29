"""Finished shovels on a broker for which another one writes the definitions."""

import asyncio

import pytest

from amqpbroker.cluster import finished_shovels
from amqpbroker.cluster.finished_shovels import FinishedShovels
from tests.cluster.requests.brokers import LOST, REFUSED, Brokers

pytestmark = pytest.mark.asyncio
SHOVEL = {"src-uri": "amqp://", "src-queue": "a", "dest-uri": "amqp://", "dest-queue": "b", "src-delete-after": 1}


@pytest.fixture
def brokers(monkeypatch):
    monkeypatch.setattr(finished_shovels, "RETRY_S", 0.001)
    made = Brokers("first", "second")
    made.add("v/1", "second")
    define(made)
    return made


def define(brokers, **changes):
    brokers["first"].broker.parameters.put("shovel", "v/1", "a name", {**SHOVEL, **changes})
    brokers.follow()


@pytest.fixture
async def finished(brokers):
    second = brokers["second"]
    made = FinishedShovels(second.broker, second.peers)
    second.broker.shovels.finish_by(made.delete)
    yield made
    made.close()


def shovels(brokers, name="first"):
    return [name for _, name, _ in brokers[name].broker.shovels.values("v/1")]


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def attempts(brokers, count):
    before = len(brokers.sent("second"))
    await until(lambda: len(brokers.sent("second")) >= before + count)


async def test_the_writer_deletes_it(brokers, finished):
    brokers["second"].broker.shovels.finish("v/1", "a name")
    await until(lambda: shovels(brokers) == [])
    brokers.follow()
    assert shovels(brokers, "second") == []
    assert brokers.sent("second") == [("first", "DELETE", "/api/parameters/shovel/v%2F1/a%20name")]


@pytest.mark.parametrize("fault", [REFUSED, LOST])
async def test_it_is_deleted_once_the_writer_answers(brokers, finished, fault, caplog):
    brokers.faults["first"] = fault
    brokers["second"].broker.shovels.finish("v/1", "a name")
    brokers["second"].broker.shovels.finish("v/1", "a name")
    await attempts(brokers, 3)
    assert shovels(brokers) == ["a name"]
    assert [record.getMessage() for record in caplog.records] == [
        f"the shovel 'a name' in vhost 'v/1' cannot be deleted yet: {fault}"
    ]
    brokers.faults.clear()
    await until(lambda: shovels(brokers) == [])


async def test_it_is_deleted_once_there_is_a_writer_which_may_be_this_broker(brokers, finished, caplog):
    brokers.writer = None
    brokers["second"].broker.shovels.finish("v/1", "a name")
    await until(lambda: caplog.records != [])
    assert "no broker writes definitions" in caplog.text
    brokers["first"].broker.definitions.write_to(None)
    brokers["second"].broker.definitions.write_to(brokers.stored)
    brokers.writer = "second"
    await until(lambda: shovels(brokers, "second") == [])
    assert brokers.sent("second") == []


async def test_a_shovel_that_somebody_else_has_deleted_is_deleted(brokers, finished):
    brokers["first"].broker.shovels.delete("v/1", "a name")
    brokers["second"].broker.shovels.finish("v/1", "a name")
    await attempts(brokers, 1)
    await until(lambda: len(asyncio.all_tasks()) == 1)
    assert len(brokers.sent("second")) == 1


async def test_a_shovel_that_is_defined_anew_meanwhile_stays(brokers, finished):
    brokers.faults["first"] = REFUSED
    brokers["second"].broker.shovels.finish("v/1", "a name")
    await attempts(brokers, 1)
    define(brokers, **{"src-queue": "other"})
    brokers.faults.clear()
    await until(lambda: len(asyncio.all_tasks()) == 1)
    assert shovels(brokers) == ["a name"]


async def test_a_shovel_whose_vhost_has_moved_is_left_to_the_next_broker(brokers, finished):
    brokers.faults["first"] = REFUSED
    brokers["second"].broker.shovels.finish("v/1", "a name")
    await attempts(brokers, 1)
    brokers["second"].broker.close_vhost("v/1")
    await until(lambda: len(asyncio.all_tasks()) == 1)
    brokers["second"].broker.shovels.finish("v/1", "a name")
    assert shovels(brokers) == ["a name"]


async def test_nothing_is_deleted_after_the_end(brokers, finished):
    brokers.faults["first"] = REFUSED
    brokers["second"].broker.shovels.finish("v/1", "a name")
    finished.close()
    await until(lambda: len(asyncio.all_tasks()) == 1)
    assert shovels(brokers) == ["a name"]
