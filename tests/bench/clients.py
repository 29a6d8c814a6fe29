"""Clients that cost next to nothing: what they send is encoded beforehand, what they receive is counted in octets.

Each runs in a process of its own and is given cells that it shares with the process that measures: it writes there
what it has counted, and looks there whether it is to end. A deliver has as many octets as the first one, since tags,
names and bodies are of the same length throughout.

`amqpbroker perf` is not this: it has to be right about whatever a broker sends, which costs its consumers two to three
times the CPU a message, and here they share the cores with what is measured.
"""

import contextlib
import select
import socket
import struct
import time
from collections.abc import Iterator, MutableSequence
from dataclasses import dataclass

from amqpbroker.cli.perf.acknowledgements import SingleAcks, up_to
from tests.harness import published
from tests.load.client import LoadClient, allow_open_files, request

#: What the cells hold: messages counted, when the first and the last one was (ns), ready, to end, samples kept.
COUNT, FIRST_NS, LAST_NS, READY, END = range(5)
CELLS = 5

BUFFER_BYTES = 1 << 20
CHUNK_BYTES = 1 << 18
CHUNK_MESSAGES = 500
LOOK_EVERY_S = 0.2

Cells = MutableSequence[int]


@dataclass(frozen=True)
class Publishing:
    """What a publisher sends, over and over: a message to each of `keys` in turn.

    in_flight: how many may wait for their confirm; 0 for publishing without confirms.
    count: where to end; 0 for never.
    """

    keys: tuple[str, ...]
    exchange: str = ""
    size: int = 16
    persistent: bool = False
    in_flight: int = 0
    count: int = 0

    def chunks(self) -> list[tuple[bytes, int]]:
        """Frames and how many messages they are, all of `keys` at least once."""
        properties = {"delivery_mode": 2} if self.persistent else {}
        body = b"x" * self.size
        messages = [published(key, body, self.exchange, **properties) for key in self.keys]
        most = max(1, min(CHUNK_MESSAGES, CHUNK_BYTES // len(messages[0]), self.in_flight // 4 or CHUNK_MESSAGES))
        if len(messages) < most:
            messages *= most // len(messages)
        parts = [messages[first : first + most] for first in range(0, len(messages), most)]
        return [(b"".join(part), len(part)) for part in parts]


@dataclass(frozen=True)
class Consuming:
    """What a consumer takes: from each of `queues`, acknowledging every `ack_every` messages.

    prefetch: 0 for not acknowledging at all. count: where to end; 0 for never. octets: of a delivery on average, if not
    all are as long as the first one. channel_wide: the prefetch is that of the channel, not of each consumer.
    """

    queues: tuple[str, ...]
    prefetch: int = 0
    ack_every: int = 1
    count: int = 0
    octets: float = 0.0
    channel_wide: bool = False


def publish(port: int, cells: Cells, what: Publishing) -> None:
    with LoadClient(port) as client:
        chunks = what.chunks()
        if what.in_flight:
            client.call("confirm.select", "confirm.select-ok")
        client.socket.settimeout(None)
        cells[FIRST_NS] = time.monotonic_ns()
        cells[READY] = 1
        if what.in_flight:
            _publish_confirmed(client.socket, cells, what, chunks)
        else:
            _publish_freely(client.socket, cells, what, chunks)
        _wait_for_end(cells)


def _publish_freely(sock: socket.socket, cells: Cells, what: Publishing, chunks: list[tuple[bytes, int]]) -> None:
    sent = 0
    until = what.count or 1 << 62
    while True:
        for chunk, messages in chunks:
            sock.sendall(chunk)
            sent += messages
            cells[COUNT] = sent
            if sent >= until:
                cells[LAST_NS] = time.monotonic_ns()
                return
        if cells[END]:
            return


CONFIRM = struct.Struct(">11sQBB")


def _publish_confirmed(sock: socket.socket, cells: Cells, what: Publishing, chunks: list[tuple[bytes, int]]) -> None:
    sent = confirmed = turn = 0
    until = what.count or 1 << 62
    pending = b""
    while confirmed < until and not cells[END]:
        while sent < until:
            chunk, messages = chunks[turn]
            if sent + messages - confirmed > what.in_flight:
                break
            sock.sendall(chunk)
            sent += messages
            turn = (turn + 1) % len(chunks)
        data = pending + sock.recv(1 << 16)
        whole = len(data) // CONFIRM.size * CONFIRM.size
        if whole:
            head, tag, _, _ = CONFIRM.unpack_from(data, whole - CONFIRM.size)
            assert head[7:] == b"\0\x3c\0\x50", "not a basic.ack"
            confirmed = max(confirmed, tag)
            cells[COUNT] = confirmed
        elif not data:
            raise EOFError("the broker closed the connection")
        pending = data[whole:]
    cells[LAST_NS] = time.monotonic_ns()


def consume(port: int, cells: Cells, what: Consuming) -> None:
    with LoadClient(port) as client:
        if what.prefetch:
            client.call("basic.qos", "basic.qos-ok", prefetch_count=what.prefetch, global_=what.channel_wide)
        for index, queue in enumerate(what.queues):
            client.call(
                "basic.consume",
                "basic.consume-ok",
                queue=queue,
                consumer_tag=f"{index:05}",
                no_ack=not what.prefetch,
            )
        cells[READY] = 1
        _wake_for_the_end(client.socket)
        with contextlib.suppress(EOFError):
            each = _octets_of_first(client, cells)
            cells[FIRST_NS] = time.monotonic_ns()
            _count(client, cells, what, each, what.octets or each)
        cells[LAST_NS] = time.monotonic_ns()
        _wait_for_end(cells)


def _octets_of_first(client: LoadClient, cells: Cells) -> int:
    """How many octets the first delivery takes, which is read frame by frame. EOFError if it is time to end before."""
    octets = body = 0
    frames = client.frames()
    while True:
        try:
            kind, payload = next(frames)
        except BlockingIOError:
            if cells[END]:
                raise EOFError from None
            frames = client.frames()
            continue
        except StopIteration:
            raise EOFError from None
        octets += len(payload) + 8
        if kind == 2:
            body = int.from_bytes(payload[4:12], "big")
        elif kind == 3:
            body -= len(payload)
        if kind != 1 and not body:
            return octets


def _count(client: LoadClient, cells: Cells, what: Consuming, first: int, each: float) -> None:
    """Count octets, beyond those of the first delivery; `each` has so many on average."""
    sock = client.socket
    buffer = bytearray(BUFFER_BYTES)
    single = SingleAcks()
    octets = first + client.unread_bytes
    acked = 0
    until = what.count or 1 << 62
    while True:
        messages = int(octets // each)
        cells[COUNT] = messages
        if what.prefetch and messages - acked >= what.ack_every:
            sock.sendall(single.between(acked + 1, messages) if what.ack_every == 1 else up_to(messages))
            acked = messages
        if messages >= until:
            return
        try:
            received = sock.recv_into(buffer)
        except BlockingIOError:
            received = 0
        if not received and cells[END]:
            return
        octets += received


def churn(port: int, cells: Cells) -> None:
    """Connect, open a channel, declare a queue that the broker names, close: each step waits for its answer."""
    login = request(
        "connection.start-ok", 0, client_properties={}, mechanism="PLAIN", response="\0guest\0guest", locale="en_US"
    )
    tune = request("connection.tune-ok", 0, channel_max=2047, frame_max=131072, heartbeat=0)
    steps = [
        b"AMQP\0\0\x09\x01",
        login,
        tune + request("connection.open", 0, virtual_host="/"),
        request("channel.open"),
        request("queue.declare", exclusive=True, auto_delete=True),
        request("connection.close", 0, reply_code=200, class_id=0, method_id=0),
    ]
    cells[READY] = 1
    cells[FIRST_NS] = time.monotonic_ns()
    while not cells[END]:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for step in steps:
                sock.sendall(step)
                _answer(sock)
        cells[COUNT] += 1


def _answer(sock: socket.socket) -> None:
    """Take one frame."""
    data = sock.recv(1 << 16)
    while len(data) < 7 or len(data) < 8 + int.from_bytes(data[3:7], "big"):
        more = sock.recv(1 << 16)
        if not more:
            raise EOFError("the broker closed the connection")
        data += more


def circulate(port: int, cells: Cells, connections: int, batch: int, size: int) -> None:
    """Many connections, each with a queue of its own: sends a batch there, and the next one when it has it back."""
    allow_open_files(connections + 100)
    clients = [LoadClient(port) for _ in range(connections)]
    answers = select.epoll()
    batches: dict[int, tuple[LoadClient, bytes]] = {}
    for index, client in enumerate(clients):
        queue = f"bench.{index:05}"
        client.declare(queue, exclusive=True)
        client.call("basic.consume", "basic.consume-ok", queue=queue, consumer_tag="c", no_ack=True)
        batches[client.socket.fileno()] = client, published(queue, b"x" * size) * batch
        answers.register(client.socket, select.EPOLLIN)
    first, chunk = batches[clients[0].socket.fileno()]
    first.send(chunk)
    back = batch * _octets_of_first(first, cells)
    missing = dict.fromkeys(batches, back)
    missing[first.socket.fileno()] -= back // batch + first.unread_bytes
    for client, chunk in batches.values():
        client.socket.settimeout(None)
        if client is not first:
            client.send(chunk)
    cells[READY] = 1
    while not cells[END]:
        for number, _ in answers.poll(LOOK_EVERY_S):
            client, chunk = batches[number]
            received = len(client.socket.recv(1 << 16))
            if not received:
                raise EOFError("the broker closed the connection")
            missing[number] -= received
            if not missing[number]:
                missing[number] = back
                cells[COUNT] += batch
                client.send(chunk)


def publish_paced(port: int, cells: Cells, what: Publishing, rate: int) -> None:
    """So many messages a second, each beginning with the time at which it was sent."""
    message = Publishing(what.keys, what.exchange, what.size, what.persistent).chunks()[0]
    frames = message[0][: len(message[0]) // message[1]]
    head, tail = frames[: -what.size - 1], frames[8 - what.size - 1 :]
    with LoadClient(port) as client:
        client.socket.settimeout(None)
        cells[READY] = 1
        start = time.monotonic()
        sent = 0
        while not cells[END]:
            wait_s = start + sent / rate - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            client.send(head + struct.pack(">Q", time.monotonic_ns()) + tail)
            sent += 1
            cells[COUNT] = sent


def consume_timed(port: int, cells: Cells, queue: str, samples_ns: Cells) -> None:
    """Notes for each message how long ago it was sent, as long as there is room."""
    with LoadClient(port) as client:
        client.call("basic.consume", "basic.consume-ok", queue=queue, no_ack=True)
        cells[READY] = 1
        _wake_for_the_end(client.socket)
        for kind, payload in _frames_until_end(client, cells):
            if kind == 3:
                _sample(cells, samples_ns, time.monotonic_ns() - int.from_bytes(payload[:8], "big"))


def probe(port: int, cells: Cells, queue: str, samples_ns: Cells, every_s: float) -> None:
    """Asks for the depth of a queue, again and again, and notes how long each answer took."""
    question = request("queue.declare", queue=queue, passive=True)
    with LoadClient(port) as client:
        client.declare(queue)
        cells[READY] = 1
        while not cells[END]:
            start = time.monotonic_ns()
            client.send(question)
            _answer(client.socket)
            _sample(cells, samples_ns, time.monotonic_ns() - start)
            time.sleep(every_s)


def _sample(cells: Cells, samples_ns: Cells, taken_ns: int) -> None:
    count = cells[COUNT]
    if count < len(samples_ns):
        samples_ns[count] = taken_ns
        cells[COUNT] = count + 1


def _frames_until_end(client: LoadClient, cells: Cells) -> Iterator[tuple[int, bytes]]:
    while not cells[END]:
        with contextlib.suppress(BlockingIOError):
            yield from client.frames()
            return


def _wake_for_the_end(sock: socket.socket) -> None:
    """Have receiving raise BlockingIOError now and then: a timeout of Python's would cost a further call each time."""
    sock.settimeout(None)
    seconds, rest = divmod(LOOK_EVERY_S, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(seconds), int(rest * 1e6)))


def _wait_for_end(cells: Cells) -> None:
    """Keep the connection: what closing it costs the broker is not measured."""
    while not cells[END]:
        time.sleep(LOOK_EVERY_S / 4)
