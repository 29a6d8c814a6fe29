"""The order in which a request's answer and the AMQP frames that the request causes are written to their sockets."""

import asyncio

import httpx
import pytest

from amqpbroker.message.message import Message, encode_address
from amqpbroker.server.tick import Tick
from tests.harness import Wire
from tests.management.api import Api, Ticking


class Client(Wire):
    """AMQP client whose frames are written at the end of the event loop iteration, as those of a socket are."""

    def __init__(self, broker, tick, written):
        super().__init__(broker)
        self.tick = tick
        self.written = written

    def _on_dirty(self):
        super()._on_dirty()
        self.tick.mark(self)

    def end_turn(self):
        self.written += [got.name for got in self.receive()]


class Served(Api):
    """API that records the writes to all sockets in their order."""

    def __init__(self):
        super().__init__()
        self.written = []
        self.records_end = False
        app = self.app

        async def recording(scope, receive, send):
            async def sent(message):
                if message["type"] == "http.response.start":
                    self.written.append(message["status"])
                elif self.records_end and message.get("body", b"").endswith(b"]"):
                    self.written.append("end")
                await send(message)

            await app(scope, receive, sent)

        transport = httpx.ASGITransport(app=recording, client=("127.0.0.1", 50_000))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://localhost:15672")
        self.tick = Tick(asyncio.get_running_loop().call_soon, self.broker.sync, pytest.fail)

    async def client_of(self, queue, vhost="/", user="guest"):
        """Return a client with a consumer of the queue."""
        client = Client(self.broker, self.tick, self.written).log_in(user, user, vhost=vhost)
        client.declare(queue)
        client.consume(queue)
        await asyncio.sleep(0)
        return client


@pytest.fixture
async def api():
    api = Served()
    api.broker.add_vhost("v")
    api.broker.users.set_permissions("guest", "v", ".*", ".*", ".*")
    api.user("u", password="u", vhosts=("/",))
    await api.client_of("q")
    await api.client_of("letters")
    await api.client_of("q", vhost="v")
    await api.client_of("own", user="u")
    await api.put("queues/%2F/dying", DYING)
    await api.post(*PUBLISHED)
    api.written.clear()
    return api


DYING = {"arguments": {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "letters"}}
MESSAGE = {"properties": {}, "payload": "x", "payload_encoding": "string"}
PUBLISHED = ("exchanges/%2F/amq.default/publish", {**MESSAGE, "routing_key": "dying"})


@pytest.mark.parametrize(
    ("method", "path", "body", "written"),
    [
        ("DELETE", "vhosts/v", None, ["basic.cancel", "connection.close", 204]),
        ("DELETE", "queues/%2F/q", None, ["basic.cancel", 204]),
        ("DELETE", "users/u", None, ["connection.close", 204]),
        ("DELETE", "connections/username/u", None, ["connection.close", 204]),
        ("DELETE", "queues/%2F/own", None, ["basic.cancel", 204]),
        ("POST", "users/bulk-delete", {"users": ["u"]}, ["connection.close", 204]),
        ("POST", PUBLISHED[0], {**MESSAGE, "routing_key": "q"}, ["basic.deliver", 200]),
        (
            "POST",
            "queues/%2F/dying/get",
            {"count": 1, "ackmode": "reject_requeue_false", "encoding": "auto"},
            ["basic.deliver", 200],
        ),
        ("POST", "queues/%2F/dying/move", {"destination": "q"}, ["basic.deliver", 200]),
        (
            "PUT",
            "policies/%2F/p",
            {"pattern": "^dying$", "definition": {"max-length": 0}},
            ["basic.deliver", 201],
        ),
        (
            "POST",
            "definitions",
            {"policies": [{"vhost": "/", "name": "p", "pattern": "^dying$", "definition": {"max-length": 0}}]},
            ["basic.deliver", 204],
        ),
    ],
)
async def test_frames_that_a_request_causes_are_written_before_its_answer(api, method, path, body, written):
    answer = await api.request(method, path, json=body)
    assert answer.status_code == written[-1]
    await asyncio.sleep(0)
    assert api.written == written


@pytest.mark.parametrize(
    ("method", "path", "body", "event"),
    [
        ("PUT", "queues/%2F/new", {}, "queue.created"),
        ("PUT", "users/new", {"password": "p", "tags": ""}, "user.created"),
        ("DELETE", "users/u", None, "user.deleted"),
    ],
)
async def test_events_are_delivered_before_the_answer_of_the_request(api, method, path, body, event):
    await api.client_of("events")
    key = {"routing_key": event}
    await api.post("bindings/%2F/e/amq.rabbitmq.event/q/events", key)
    api.written.clear()
    answer = await api.request(method, path, json=body)
    await asyncio.sleep(0)
    assert api.written.count("basic.deliver") == 1
    assert api.written[-1] == answer.status_code


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PUBLISHED[0], {**MESSAGE, "routing_key": "unbound"}),
        ("queues/%2F/dying/get", {"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"}),
    ],
)
async def test_traces_are_delivered_before_the_answer_of_the_request(api, path, body):
    await api.client_of("traces")
    await api.post("bindings/%2F/e/amq.rabbitmq.trace/q/traces", {"routing_key": "#"})
    await api.put("vhosts/%2F", {"tracing": True})
    api.written.clear()
    answer = await api.post(path, body)
    await asyncio.sleep(0)
    assert api.written == ["basic.deliver", answer.status_code]


async def test_frames_of_a_request_that_fails_half_way_are_written_before_its_answer(api):
    """An import that cannot be stored completely keeps the definitions before the error."""
    put = api.broker.definitions.put

    def refuse(definition):
        if getattr(definition, "name", "") == "second":
            raise ValueError("no more")
        put(definition)

    api.broker.definitions.put = refuse
    policy = {"vhost": "/", "name": "first", "pattern": "^dying$", "definition": {"max-length": 0}}
    answer = await api.post("definitions", {"policies": [policy, {**policy, "name": "second"}]})
    assert answer.status_code == 400
    await asyncio.sleep(0)
    assert api.written == ["basic.deliver", 400]


async def test_frames_of_a_request_whose_answer_is_sent_in_parts_are_written_before_the_last_part(api):
    queue = api.broker.vhosts["/"].queues["dying"]
    for _ in range(2000):
        queue.publish(Message(encode_address("", b"dying"), b"\0\0", b"x" * 1000))
    api.records_end = True
    ticking = Ticking(api)  # for messages that are dead-lettered in slices
    answer = await api.post(
        "queues/%2F/dying/get", {"count": -1, "ackmode": "reject_requeue_false", "encoding": "auto"}
    )
    assert len(answer.json()) == 2001
    await asyncio.sleep(0)
    ticking.stop()
    assert api.written == [200, *["basic.deliver"] * 2001, "end"]
