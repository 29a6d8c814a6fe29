import pytest

from amqpbroker.compat import DEFAULT_COMPAT
from amqpbroker.config import Config
from amqpbroker.wire.values import Field, longstr
from tests.harness import Wire
from tests.management.api import Api

PATH = "queues/%2F/s/offsets"
TRACKED = {"x-stream-automatic-offset-tracking": Field("t", True), "x-stream-offset": longstr("first")}


async def with_offsets(config=None):
    """Return an API, and a client with consumers "b" and "a/c" of a stream with one message."""
    api = Api(config)
    await api.put("queues/%2F/s", {"durable": True, "arguments": {"x-queue-type": "stream"}})
    client = Wire(api.broker).log_in()
    client.call(1, "basic.qos", prefetch_count=10)
    client.publish("s", b"1")
    for tag in "b", "a/c":
        client.consume("s", tag, no_ack=False, arguments=TRACKED)
    return api, client


async def test_offsets_are_listed_by_consumer():
    api, client = await with_offsets()
    api.clock.advance(5_000)
    client.send(1, "basic.ack", delivery_tag=1)
    client.receive()
    assert (await api.get(PATH)).json() == [
        {"consumer": "a/c", "offset": 0, "updated_at": 1_000_000},
        {"consumer": "b", "offset": 1, "updated_at": 1_005_000},
    ]


async def test_an_offset_is_removed():
    api, client = await with_offsets()
    client.call(1, "channel.close")
    assert (await api.delete(f"{PATH}/a%2Fc")).status_code == 204
    assert (await api.delete(f"{PATH}/a%2Fc")).status_code == 404
    assert [each["consumer"] for each in (await api.get(PATH)).json()] == ["b"]


async def test_the_offset_of_a_running_consumer_is_not_removed():
    api, client = await with_offsets()
    answer = await api.delete(f"{PATH}/b")
    assert (answer.status_code, answer.json()) == (
        409,
        {"error": "conflict", "reason": "consumer 'b' of stream 's' is running: cancel it"},
    )
    client.call(1, "basic.cancel", consumer_tag="b")
    assert (await api.delete(f"{PATH}/b")).status_code == 204


@pytest.mark.parametrize("extensions", [True, False])
async def test_only_streams_have_offsets_and_only_with_extensions(extensions):
    api, _ = await with_offsets(Config(compat=DEFAULT_COMPAT._replace(extensions=extensions)))
    await api.put("queues/%2F/q", {})
    assert (await api.get("queues/%2F/q/offsets")).status_code == 404
    assert (await api.get("queues/%2F/nope/offsets")).status_code == 404
    assert (await api.get(PATH)).status_code == (200 if extensions else 404)


async def test_removing_an_offset_needs_permission_to_read_the_stream():
    api, client = await with_offsets()
    client.call(1, "channel.close")
    login = api.user("u")
    api.broker.users.set_permissions("u", "/", "", "", "^$")
    assert (await api.delete(f"{PATH}/b", auth=login)).status_code == 401
    api.broker.users.set_permissions("u", "/", "", "", "^s$")
    assert (await api.delete(f"{PATH}/b", auth=login)).status_code == 204


async def test_listing_offsets_needs_permission_to_read_the_stream():
    api, _ = await with_offsets()
    login = api.user("u")
    for readable, status in ("^$", 401), ("^s$", 200):
        api.broker.users.set_permissions("u", "/", ".*", ".*", readable)
        assert (await api.get(PATH, auth=login)).status_code == status
