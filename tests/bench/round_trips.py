"""Clients that wait for an answer to each message: requests and replies, an echo, transactions."""

import random
import re
import select
import time

from amqpbroker.wire.frames import BODY, FRAME_HEAD, HEADER, content
from amqpbroker.wire.properties import encode_properties
from tests.bench.application import messages, unique_id
from tests.bench.clients import COUNT, END, LOOK_EVERY_S, READY, Cells, sample, wake_for_the_end
from tests.bench.sending import Different, chunked
from tests.harness import published
from tests.load.client import LoadClient, allow_open_files, request

REPLY_TO = "amq.rabbitmq.reply-to"
#: Different requests of each client, and different replies of the server.
DIFFERENT = 64
FRAME_MAX = 131072

#: The correlation id and the reply address, which are next to each other in the properties. The message id follows,
#: whose first byte, its length, is not in the last class.
_REQUEST = re.compile(rb"\x24([0-9a-f-]{36}).(amq\.rabbitmq\.reply-to\.[A-Za-z0-9+/=_.-]+)", re.DOTALL)


def whole_delivery(data: bytes) -> bool:
    """Return whether the data end with a whole message: a method, a header and all its body frames."""
    at = 0
    missing = -1
    while len(data) >= at + 7:
        kind, _, size = FRAME_HEAD.unpack_from(data, at)
        if kind == HEADER:
            missing = int.from_bytes(data[at + 11 : at + 19], "big")
        elif kind == BODY:
            missing -= size
        at += size + 8
    return missing == 0 and at == len(data)


def serve(port: int, cells: Cells, queue: str) -> None:
    """Reply to each request in the queue, with its correlation id, to its reply address."""
    with LoadClient(port) as client:
        client.call("basic.consume", "basic.consume-ok", queue=queue, no_ack=True)
        cells[READY] = 1
        wake_for_the_end(client.socket)
        replies = Replies()
        unread = client.take_unread()
        while not cells[END]:
            unread, data = replies.to(unread)
            if data:
                client.send(data)
            try:
                received = client.socket.recv(1 << 18)
            except BlockingIOError:
                continue
            if not received:
                return
            unread += received


class Replies:
    """Replies to requests, encoded beforehand except for the correlation id and the reply address."""

    def __init__(self) -> None:
        self._contents: list[tuple[bytes, bytes]] = []
        for properties, body in messages(DIFFERENT):
            placeholder = properties["message_id"].encode()
            values = {"content_type": b"application/json", "correlation_id": placeholder}
            before, _, after = content(1, encode_properties(values), body, FRAME_MAX).partition(placeholder)
            self._contents.append((before, after))
        self._methods: dict[bytes, bytes] = {}
        self._count = 0

    def to(self, requests: bytes) -> tuple[bytes, bytes]:
        """Return the bytes after the last request, and the replies to all of them."""
        parts = []
        end = 0
        for match in _REQUEST.finditer(requests):
            correlation_id, name = match.groups()
            # The address may continue in data that was not received yet.
            if match.end() == len(requests):
                break
            end = match.end()
            before, after = self._contents[self._count % DIFFERENT]
            self._count += 1
            parts += (self._method(name), before, correlation_id, after)
        return requests[end:], b"".join(parts)

    def _method(self, name: bytes) -> bytes:
        if name not in self._methods:
            self._methods[name] = request("basic.publish", exchange="", routing_key=name.decode())
        return self._methods[name]


def run_clients(port: int, cells: Cells, queue: str, clients: int) -> None:
    """Run clients with a connection each that send a request and, after the reply, the next one."""
    allow_open_files(clients + 100)
    answers = select.epoll()
    asking: dict[int, tuple[LoadClient, list[bytes]]] = {}
    for number in range(clients):
        client = LoadClient(port)
        client.call("basic.consume", "basic.consume-ok", queue=REPLY_TO, no_ack=True)
        client.socket.settimeout(None)
        asking[client.socket.fileno()] = client, requests(queue, number)
        answers.register(client.socket, select.EPOLLIN)
    cells[READY] = 1
    unread = dict.fromkeys(asking, b"")
    sent = 0
    for client, frames in asking.values():
        client.send(frames[0])
    while not cells[END]:
        for number, _ in answers.poll(LOOK_EVERY_S):
            client, frames = asking[number]
            data = client.socket.recv(1 << 16)
            if not data:
                raise EOFError("the broker closed the connection")
            data = unread[number] + data
            if not whole_delivery(data):
                unread[number] = data
                continue
            unread[number] = b""
            cells[COUNT] += 1
            sent += 1
            client.send(frames[sent % DIFFERENT])


def requests(queue: str, seed: int) -> list[bytes]:
    """Return the frames of requests, each a message of an application with a correlation id and a reply address."""
    chance = random.Random(seed)
    return [
        published(queue, body, **properties | {"correlation_id": unique_id(chance), "reply_to": REPLY_TO})
        for properties, body in messages(DIFFERENT, seed)
    ]


def echo(port: int, cells: Cells, queue: str, samples_ns: Cells) -> None:
    """Publish a message, wait until it is delivered, and record the time, repeatedly."""
    frames = [published(queue, body, **properties) for properties, body in messages(DIFFERENT)]
    with LoadClient(port) as client:
        client.call("basic.consume", "basic.consume-ok", queue=queue, no_ack=True)
        cells[READY] = 1
        while not cells[END]:
            start = time.monotonic_ns()
            client.send(frames[cells[COUNT] % DIFFERENT])
            data = client.socket.recv(1 << 16)
            while not whole_delivery(data):
                data += client.socket.recv(1 << 16)
            sample(cells, samples_ns, time.monotonic_ns() - start)


def commit(port: int, cells: Cells, what: Different, each: int) -> None:
    """Publish that many messages and commit them, repeatedly. Counts the commits."""
    transactions = [frames + request("tx.commit") for frames, _ in chunked(what.frames(), each)]
    with LoadClient(port) as client:
        client.call("tx.select", "tx.select-ok")
        cells[READY] = 1
        while not cells[END]:
            client.send(transactions[cells[COUNT] % len(transactions)])
            client.expect("tx.commit-ok")
            cells[COUNT] += 1
