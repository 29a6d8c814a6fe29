"""Requests to other brokers, with real sockets."""

import asyncio

import pytest

from amqpbroker.cluster.leadership.leadership import Leader, Target
from amqpbroker.cluster.peers import http_peers as peers
from amqpbroker.cluster.peers.http_peers import HttpPeers
from amqpbroker.cluster.peers.peer_port import NONCE_BYTES, PROOF_BYTES, PeerPort
from amqpbroker.cluster.requests.peers import NotSentError, PeerRequest
from amqpbroker.cluster.requests.sharing import Sharing
from amqpbroker.management.app import build_app
from amqpbroker.server.http import HttpListener
from amqpbroker.server.protocols import PEER
from tests.cluster.peers.test_peer_port import bound
from tests.cluster.requests.brokers import Brokers
from tests.management.api import StillNode

CLIENT = ("192.0.2.7", 4711)


class Port:
    """The port of a broker at which others connect, with the application of its API."""

    def __init__(self, name, build, secret="secret"):
        loop = asyncio.get_running_loop()
        sock = bound()
        self.broker = Leader(name, "", f"process of {name}", Target("127.0.0.1", sock.getsockname()[1], secret))
        self.web = HttpListener(loop, [], build)
        self.listener = PeerPort(loop, sock, "secret", {PEER: self._serve})
        self.listener.start()

    def _serve(self, client, passed_on):
        self.web.serve_peer(client, passed_on.host, passed_on.port)

    async def close(self):
        if self.listener is not None:
            await self.listener.close()
            await self.web.stop()
        self.listener = None


@pytest.fixture
async def port():
    """Return a function that opens a port."""
    ports = []

    def opened(name, build, **more):
        ports.append(Port(name, build, **more))
        return ports[-1]

    yield opened
    for each in ports:
        await each.close()


async def caught_up():
    """Definitions do not change here."""


def peers_of(name, *others, serving=None, writer=None):
    here = Leader(name, "", f"process of {name}")
    return HttpPeers(here, (serving or {}).get, lambda: writer, lambda: [here, *others], caught_up)


def app_of(answer):
    """Return what builds an application with this answer: a function of the scope, body and `send`."""

    async def app(scope, receive, send):
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        await answer(scope, body, send)

    return lambda: app


async def echo(scope, body, send):
    state, headers = scope["state"], dict(scope["headers"])
    text = f"{scope['method']} {scope['raw_path']} {scope['query_string']} {scope['client']} {state} {body}"
    await send({"type": "http.response.start", "status": 201, "headers": [(b"x-a", headers.get(b"x-a", b""))]})
    await send({"type": "http.response.body", "body": text.encode()})


async def read(answer):
    return b"".join([part async for part in answer.parts])


async def test_a_request_and_its_answer(port):
    there = port("b", app_of(echo))
    here = peers_of("a", there.broker)
    [peer] = here.others()
    assert (peer, here.here.name) == (("b", "process of b"), "a")
    request = PeerRequest("PUT", "/api/queues/%2F/q?x=1", [("Host", "h"), ("x-a", "1")], b"body", CLIENT)
    answer = await here.request(peer, request, 5)
    assert (answer.status, answer.header("x-a")) == (201, "1")
    assert (await read(answer)).decode() == (f"PUT b'/api/queues/%2F/q' b'x=1' {CLIENT} {{'from_peer': True}} b'body'")
    for method in ("GET", "DELETE", "HEAD", "POST"):
        answer = await here.request(peer, PeerRequest(method, "/x", [], b"", CLIENT), 5)
        assert (answer.status, (await read(answer)).startswith(method.encode())) == (201, method != "HEAD")


async def test_a_long_answer_comes_in_parts(port):
    async def long(scope, body, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(20):
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    here = peers_of("a", port("b", app_of(long)).broker)
    answer = await here.request(here.others()[0], PeerRequest("POST", "/", [], b"x" * 100_000, CLIENT), 5)
    parts = [part async for part in answer.parts]
    assert (sum(map(len, parts)), max(map(len, parts)) <= peers.READ_BYTES) == (2_000_000, True)


async def test_a_broker_that_is_not_there_did_not_get_the_request(port):
    closed = bound()
    gone = Leader("b", "", "process of b", Target("127.0.0.1", closed.getsockname()[1], "secret"))
    closed.close()
    here = peers_of("a", gone)
    [peer] = here.others()
    request = PeerRequest("PUT", "/", [], b"", CLIENT)
    with pytest.raises(NotSentError):
        await here.request(peer, request, 5)
    with pytest.raises(NotSentError, match="the port of broker 'b' is not known"):
        await peers_of("a").request(peer, request, 5)


async def test_a_broker_that_does_not_greet_did_not_get_the_request(port, monkeypatch):
    monkeypatch.setattr(peers, "CONNECT_S", 0.02)
    silent = bound()
    silent.listen()
    here = peers_of("a", Leader("b", "", "process of b", Target("127.0.0.1", silent.getsockname()[1], "secret")))
    with pytest.raises(NotSentError, match="no connection in time"):
        await here.request(here.others()[0], PeerRequest("PUT", "/", [], b"", CLIENT), 5)
    silent.close()


async def test_an_answer_has_a_time_limit(port):
    async def never(scope, body, send):
        await asyncio.sleep(60)

    here = peers_of("a", port("b", app_of(never)).broker)
    with pytest.raises(TimeoutError, match=r"^no answer in .* s$"):
        await here.request(here.others()[0], PeerRequest("GET", "/", [], b"", CLIENT), 0.05)


async def test_an_answer_that_breaks_off_is_an_error(port):
    async def broken(scope, body, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})

    here = peers_of("a", port("b", app_of(broken)).broker)
    answer = await here.request(here.others()[0], PeerRequest("GET", "/", [], b"", CLIENT), 5)
    with pytest.raises(OSError, match="broken off"):
        await read(answer)


async def test_a_wrong_secret_is_an_error(port):
    here = peers_of("a", port("b", app_of(echo), secret="wrong").broker)
    with pytest.raises(NotSentError, match=r"closed|reset"):
        await here.request(here.others()[0], PeerRequest("GET", "/", [], b"", CLIENT), 5)


async def test_brokers_answer_for_each_other_over_sockets(port):
    brokers = Brokers("a", "b")
    brokers.serve("/", "a")
    brokers.add("v", "b")
    apps = {}
    ports = {name: port(name, lambda name=name: apps[name]) for name in "ab"}
    for name, other in (("a", "b"), ("b", "a")):
        by_vhost = {"/": ports["a"].broker, "v": ports["b"].broker}
        shared = peers_of(name, ports[other].broker, serving=by_vhost, writer=ports["a"].broker)
        node = StillNode()
        node.name = name
        apps[name] = build_app(brokers[name].broker, node, shared=Sharing(shared))
        brokers[name].client._transport.app = apps[name]
    assert (await brokers["a"].put("queues/v/q", {})).status_code == 201
    assert (await brokers["b"].put("queues/%2F/p", {})).status_code == 201
    for name in "ab":
        rows = (await brokers[name].get("queues")).json()
        assert [(row["vhost"], row["name"], row["node"]) for row in rows] == [("/", "p", "a"), ("v", "q", "b")]
        assert (await brokers[name].get("queues/v/none")).json()["reason"] == "Not Found"
    assert (await brokers["a"].request("HEAD", "queues/v/q")).status_code == 200
    assert (await brokers["a"].put("queues/v/r", {})).status_code == 201
    deleted = await brokers["a"].delete("queues/v/r")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await brokers["b"].put("users/ann", {"password": "p", "tags": ""})).status_code == 201
    assert brokers["a"].broker.users.has("ann")
    await ports["b"].close()
    answer = await brokers["a"].get("queues")
    assert (len(answer.json()), answer.headers["x-missing-brokers"]) == (1, "b")


async def test_a_process_that_does_not_know_the_secret_gets_no_request():
    async def impostor(reader, writer):
        writer.write(b"n" * NONCE_BYTES)
        size = int.from_bytes(await reader.readexactly(2), "big")
        await reader.readexactly(size)
        writer.write(b"p" * PROOF_BYTES + b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        got.append(await reader.read())
        writer.close()

    got = []
    server = await asyncio.start_server(impostor, "127.0.0.1", 0)
    there = Leader("b", "", "process of b", Target("127.0.0.1", server.sockets[0].getsockname()[1], "secret"))
    with pytest.raises(NotSentError, match="another process listens there"):
        await peers_of("a", there, writer=there).request(
            peers_of("b").here, PeerRequest("PUT", "/api/users/ann", [], b'{"password":"secret"}', CLIENT), 5
        )
    server.close()
    await server.wait_closed()
    while not got:
        await asyncio.sleep(0.01)
    assert got == [b""]


def test_headers_that_are_not_ascii_are_passed_on():
    request = PeerRequest("GET", "/api/queues", [("user-agent", "Sch\xf6n")], b"", CLIENT)
    assert b"user-agent: Sch\xf6n\r\n" in peers._Exchange(None).encoded(request).lower().replace(b"sch", b"Sch")
