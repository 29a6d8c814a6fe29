import asyncio
import gc
import json
import tracemalloc

import pytest

from amqpbroker.compat import COMPATS
from amqpbroker.config import Config
from amqpbroker.config.bounds import Bounds
from amqpbroker.management.streamed import WHOLE_BYTES
from amqpbroker.message.message import Message, encode_address
from tests.management.api import Api, Ticking

BODY = b"x" * 1000


class Deep(Api):
    """API of a broker with one deep queue; each part of an answer is passed to `read`."""

    def __init__(self, depth, body=BODY, config=None):
        super().__init__(config)
        self.vhost = self.broker.vhosts["/"]
        self.queue = self.vhost.declare_queue("q", True, False, False, {})
        for _ in range(depth):
            self.queue.publish(Message(encode_address("", b"q"), b"\0\0", body))
        self.headers = {}
        self.gone = False

    def read(self, part):
        pass

    async def get(self, ack_mode="ack_requeue_false", count=-1):
        body = json.dumps({"count": count, "ackmode": ack_mode, "encoding": "auto"}).encode()
        path = "/api/queues/%2F/q/get"
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"authorization", b"Basic Z3Vlc3Q6Z3Vlc3Q=")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "scheme": "http",
        }
        asked = False

        async def receive():
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": body}
            if not self.gone:
                await asyncio.Event().wait()
            return {"type": "http.disconnect"}

        async def send(message):
            if message["type"] == "http.response.start":
                self.headers = dict(message["headers"])
            else:
                self.read(message["body"])

        await self.app(scope, receive, send)


async def test_large_get_response_is_streamed_while_messages_are_dequeued():
    api = Deep(3000)
    parts, depths = [], []
    api.read = lambda part: (parts.append(part), depths.append(api.queue.ready_count))
    await api.get()
    assert b"content-length" not in api.headers
    assert api.headers[b"content-type"] == b"application/json"
    assert max(map(len, parts)) < 2 * WHOLE_BYTES
    assert 0 < depths[0] < 3000
    assert depths[-1] == 0
    messages = json.loads(b"".join(parts))
    assert [message["message_count"] for message in messages] == list(range(2999, -1, -1))


async def test_small_get_response_has_a_content_length():
    api = Deep(3)
    parts = []
    api.read = parts.append
    await api.get()
    assert int(api.headers[b"content-length"]) == len(b"".join(parts))
    assert len(json.loads(b"".join(parts))) == 3


@pytest.mark.parametrize("ack_mode", ["ack_requeue_true", "reject_requeue_true"])
async def test_messages_got_with_requeue_are_requeued_before_the_last_response_part(ack_mode):
    api = Deep(3000)
    parts, depths = [], []
    api.read = lambda part: (parts.append(part), depths.append(api.queue.ready_count))
    await api.get(ack_mode)
    assert len(json.loads(b"".join(parts))) == 3000
    assert depths[-2:] == [3000, 3000]
    assert depths[-3] == 0


@pytest.mark.parametrize(("ack_mode", "all_back"), [("ack_requeue_true", True), ("ack_requeue_false", False)])
async def test_get_takes_no_more_messages_after_its_client_disconnects(ack_mode, all_back):
    api = Deep(5000)
    api.read = lambda part: setattr(api, "gone", True)
    await api.get(ack_mode)
    assert (api.queue.ready_count == 5000) is all_back
    assert api.queue.ready_count > 2000
    assert api.queue.unacked_count == 0


@pytest.mark.parametrize(
    ("series", "ack_mode", "headers"),
    [
        ("4.0", "ack_requeue_true", {"x-delivery-count": 2}),
        ("4.0", "reject_requeue_true", {"x-delivery-count": 2}),
        ("4.3", "ack_requeue_true", {"x-acquired-count": 2}),
        ("4.3", "reject_requeue_true", {"x-acquired-count": 2, "x-delivery-count": 2}),
    ],
)
async def test_only_rejected_gets_increase_the_delivery_count_from_4_3_on(series, ack_mode, headers):
    """RabbitMQ returns other messages with basic.nack (rabbit_mgmt_wm_queue_get:maybe_reject_or_nack/3)."""
    api = Api(Config(compat=COMPATS[series]))
    arguments = {"x-queue-type": "quorum"}
    assert (await api.put("queues/%2F/q", {"durable": True, "arguments": arguments})).status_code == 201
    await api.post(
        "exchanges/%2F/amq.default/publish",
        {"properties": {}, "routing_key": "q", "payload": "m", "payload_encoding": "string"},
    )
    wanted = {"count": 1, "ackmode": ack_mode, "encoding": "auto"}
    for _ in range(2):
        await api.post("queues/%2F/q/get", wanted)
    (message,) = (await api.post("queues/%2F/q/get", wanted)).json()
    assert message["properties"]["headers"] == headers


async def test_get_response_ends_although_messages_are_still_published():
    api = Deep(3000)
    read = []

    def publish_more(part):
        read.append(part)
        for _ in range(1000 if len(read) < 100 else 0):
            api.queue.publish(Message(encode_address("", b"q"), b"\0\0", BODY))

    api.read = publish_more
    await api.get()
    assert len(json.loads(b"".join(read))) == 3001


async def test_get_with_requeue_limits_the_bytes_of_stored_messages_it_holds():
    """Stored messages are read from disk, so that holding them takes memory; the list ends at the limit."""
    api = Deep(300, config=Config(bounds=Bounds(got_bytes=100 * 1500)))
    entries = [api.queue.get(False) for _ in range(300)]
    for entry in entries:
        entry.position = 1
    api.queue.requeue(entries)
    parts = []
    api.read = parts.append
    await api.get("ack_requeue_true")
    assert len(json.loads(b"".join(parts))) == 100
    assert api.queue.ready_count == 300


@pytest.mark.alone
async def test_memory_for_getting_all_messages_of_a_long_queue_is_bounded():
    api = Deep(20_000)
    size = 0

    def read(part):
        nonlocal size
        size += len(part)

    api.read = read
    gc.collect()
    tracemalloc.start()
    try:
        await api.get()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 20 * WHOLE_BYTES
    assert peak < 6 * WHOLE_BYTES


async def late(api, count):
    """Publish messages that have expired, although the timer has not fired, and one that has not."""
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "to"}
    await api.put("queues/%2F/to", {})
    await api.put("queues/%2F/late", {"arguments": dead})
    queue = api.broker.vhosts["/"].queues["late"]
    for number in range(count + 1):
        message = Message(encode_address("", b"late"), b"\0\0", b"late" if number < count else b"last")
        message.expiration_ms = 10 if number < count else -1
        queue.publish(message)
    api.clock._now_ms += 10
    return queue


async def test_get_waits_until_expired_messages_are_removed():
    api = Api(Config(bounds=Bounds(expiries=4)))
    queue = await late(api, 30)
    ticking = Ticking(api)
    wanted = {"count": 5, "ackmode": "ack_requeue_false", "encoding": "auto"}
    found = (await api.post("queues/%2F/late/get", wanted)).json()
    ticking.stop()
    assert [message["payload"] for message in found] == ["last"]
    assert (queue.ready_count, queue.got_empty) == (0, 1)
    assert api.broker.vhosts["/"].queues["to"].ready_count == 30


async def test_move_waits_until_expired_messages_are_removed():
    api = Api(Config(bounds=Bounds(expiries=4)))
    queue = await late(api, 30)
    await api.put("queues/%2F/moved", {})
    ticking = Ticking(api)
    answer = await api.post("queues/%2F/late/move", {"destination": "moved"})
    ticking.stop()
    assert (answer.json(), queue.ready_count) == ({"moved": 1}, 0)
    assert api.broker.vhosts["/"].queues["to"].ready_count == 30


async def test_many_messages_got_are_rejected_in_slices_before_the_response_ends():
    api = Deep(8, config=Config(bounds=Bounds(departures=3)))
    unacked = [0]
    ticking = Ticking(api, lambda: unacked.append(api.queue.unacked_count))
    await api.get("reject_requeue_false")
    ticking.stop()
    assert (api.queue.unacked_count, api.queue.ready_count) == (0, 0)
    assert unacked[unacked.index(5) :][:3] == [5, 2, 0]
