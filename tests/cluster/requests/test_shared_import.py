"""Definitions that a broker that shares vhosts imports at its start."""

import asyncio
import json

import pytest

from amqpbroker.cluster.requests import shared_import, sharing
from amqpbroker.cluster.requests.shared_import import SharedImport
from amqpbroker.config import Definitions
from amqpbroker.management.definitions.failure import DefinitionsError
from tests.cluster.requests.brokers import REFUSED, Brokers


@pytest.fixture
def brokers():
    made = Brokers("writer", "here", "other")
    made.add("v", "other")
    made.add("w", "here")
    return made


@pytest.fixture(autouse=True)
def _short_pause(monkeypatch):
    monkeypatch.setattr(shared_import, "PAUSE_S", 0.0)


def queue(vhost, name="q"):
    return {"vhost": vhost, "name": name, "durable": True, "auto_delete": False, "arguments": {}}


def importing(brokers, tmp_path, *documents, skip=False):
    """Return the coroutine of an import of documents, by the second broker."""
    paths = [tmp_path / f"{number}.json" for number in range(len(documents))]
    for path, document in zip(paths, documents, strict=True):
        path.write_text(document if isinstance(document, str) else json.dumps(document))
    api = brokers["here"]
    return SharedImport(api.app, api.broker, "the-token").run(Definitions(tuple(map(str, paths)), skip))


async def test_each_part_is_imported_by_its_broker(brokers, tmp_path):
    users = [{"name": "ann", "password": "x", "tags": ""}]
    single = {
        "rabbitmq_definition_format": "single_virtual_host",
        "original_vhost_name": "v",
        "queues": [queue("", "s")],
    }
    await importing(brokers, tmp_path, {"users": users, "queues": [queue("v"), queue("w")]}, single)
    assert set(brokers["other"].broker.vhosts["v"].queues) == {"q", "s"}
    assert set(brokers["here"].broker.vhosts["w"].queues) == {"q"}
    assert brokers["writer"].broker.users.has("ann")


async def test_an_import_waits_while_no_broker_writes_definitions(brokers, tmp_path):
    brokers["writer"].broker.definitions.write_to(None)
    task = asyncio.ensure_future(
        importing(brokers, tmp_path, {"users": [{"name": "ann", "password": "x", "tags": ""}]})
    )
    while len(brokers.sent("here")) < 2:
        await asyncio.sleep(0)
    assert not brokers["writer"].broker.users.has("ann")
    brokers["writer"].broker.definitions.write_to(brokers.stored)
    await task
    assert brokers["writer"].broker.users.has("ann")


async def test_an_import_waits_until_a_vhost_has_a_leader(brokers, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(sharing, "SERVED_S", 0.1)
    brokers.faults["writer"] = REFUSED
    task = asyncio.ensure_future(
        importing(brokers, tmp_path, {"users": [{"name": "ann", "password": "x", "tags": ""}]})
    )
    while not caplog.text.count("cannot be imported yet"):
        await asyncio.sleep(0)
    del brokers.faults["writer"]
    await task
    assert brokers["writer"].broker.users.has("ann")
    assert caplog.text.count("cannot be imported yet") == 1


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"queues": [queue("nope")]}, 'Please create virtual host "nope"'),
        ({"queues": [{"vhost": "v"}]}, 'queues[0]: "name" is missing'),
        ("{", "failed_to_parse_json"),
    ],
)
async def test_definitions_that_cannot_be_imported_are_an_error_with_their_file(brokers, tmp_path, document, problem):
    with pytest.raises(DefinitionsError) as caught:
        await importing(brokers, tmp_path, document)
    assert str(caught.value).startswith(f"definitions {tmp_path / '0.json'}: {problem}")


async def test_definitions_that_are_imported_already_are_skipped(brokers, tmp_path):
    document = {"queues": [queue("v")]}
    await importing(brokers, tmp_path, document, skip=True)
    brokers.follow()
    assert (await brokers["other"].delete("queues/v/q")).status_code == 204
    await importing(brokers, tmp_path, document, skip=True)
    assert set(brokers["other"].broker.vhosts["v"].queues) == set()
    await importing(brokers, tmp_path, document, skip=False)
    assert set(brokers["other"].broker.vhosts["v"].queues) == {"q"}
