"""Clients that need almost no CPU: their messages are encoded beforehand, and deliveries are counted by their tags.

Each runs in its own process with shared memory cells of the measuring process: it writes its counts there, and reads
there whether it must end.

`amqpbroker perf` is different: it must handle anything that a broker sends correctly, which takes its consumers two to
three times the CPU per message, and here they run on the same cores as the measured broker.
"""

import contextlib
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator, MutableSequence
from dataclasses import dataclass, field

from amqpbroker.cli.perf.consumer import SingleAcks
from amqpbroker.client.login import FRAME_MAX, PROTOCOL_HEADER, Login, Tuned
from amqpbroker.wire.frames import BODY
from amqpbroker.wire.reader import FrameReader
from amqpbroker.wire.values import Table
from tests.bench.deliveries import Deliveries, acknowledge, consumer_tag
from tests.bench.sending import Load, Repeated
from tests.harness import published
from tests.load.client import LoadClient, allow_open_files, request, without_verification

#: Meaning of the cells: messages counted, time of the first and the last one (ns), ready, end, number of samples.
COUNT, FIRST_NS, LAST_NS, READY, END = range(5)
CELLS = 5

LOOK_EVERY_S = 0.2

Cells = MutableSequence[int]


@dataclass(frozen=True)
class Consuming:
    """Parameters of a consumer: messages of each of `queues`.

    prefetch: 0 for auto-ack. ack_every: number of messages that are answered together. answer: returns the frame that
    answers everything up to a delivery tag. count: number of messages after which it ends; 0 for no end. tls: the
    connection is encrypted. channel_wide: the prefetch is that of the channel, not of each consumer. arguments: of
    basic.consume.
    """

    queues: tuple[str, ...]
    prefetch: int = 0
    ack_every: int = 1
    count: int = 0
    answer: Callable[[int], bytes] = acknowledge
    tls: bool = False
    channel_wide: bool = False
    arguments: Table = field(default_factory=dict)


def publish(port: int, cells: Cells, what: Load) -> None:
    chunks = what.chunks()
    with LoadClient(port, tls=what.tls) as client:
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


def _publish_freely(sock: socket.socket, cells: Cells, what: Load, chunks: list[tuple[bytes, int]]) -> None:
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


def _publish_confirmed(sock: socket.socket, cells: Cells, what: Load, chunks: list[tuple[bytes, int]]) -> None:
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
            # Confirms of several queues arrive in any order, which matters only at the end.
            for at in range(0 if what.count and sent >= until else whole - CONFIRM.size, whole, CONFIRM.size):
                head, tag, _, _ = CONFIRM.unpack_from(data, at)
                assert head[7:] == b"\0\x3c\0\x50", "not a basic.ack"
                confirmed = max(confirmed, tag)
            cells[COUNT] = confirmed
        elif not data:
            raise EOFError("the broker closed the connection")
        pending = data[whole:]
    cells[LAST_NS] = time.monotonic_ns()


def consume(port: int, cells: Cells, what: Consuming) -> None:
    with LoadClient(port, tls=what.tls) as client:
        if what.prefetch:
            client.call("basic.qos", "basic.qos-ok", prefetch_count=what.prefetch, global_=what.channel_wide)
        for number, queue in enumerate(what.queues):
            client.call(
                "basic.consume",
                "basic.consume-ok",
                queue=queue,
                consumer_tag=consumer_tag(number),
                no_ack=not what.prefetch,
                arguments=what.arguments,
            )
        cells[READY] = 1
        wake_for_the_end(client.socket)
        _count(client, cells, what)
        cells[LAST_NS] = time.monotonic_ns()
        _wait_for_end(cells)


def _count(client: LoadClient, cells: Cells, what: Consuming) -> None:
    send = client.socket.sendall
    deliveries = Deliveries(client)
    single = SingleAcks() if what.answer is acknowledge and what.ack_every == 1 else None
    answered = 0
    until = what.count or 1 << 62
    while True:
        count = deliveries.count
        if count and not cells[COUNT]:
            cells[FIRST_NS] = time.monotonic_ns()
        cells[COUNT] = count
        if what.prefetch and count - answered >= what.ack_every:
            send(single.between(answered + 1, count) if single else what.answer(count))
            answered = count
        if count >= until:
            return
        try:
            received = deliveries.receive()
        except (BlockingIOError, TimeoutError):
            received = 0
        if not received and cells[END]:
            return


def churn(port: int, cells: Cells, tls: bool = False) -> None:
    """Connect, open a channel, declare a server-named queue, close; each step waits for its answer.

    tls: encrypt the connection, and declare nothing.
    """
    steps = [
        *login_steps(),
        *([] if tls else [request("queue.declare", exclusive=True, auto_delete=True)]),
        request("connection.close", 0, reply_code=200, class_id=0, method_id=0),
    ]
    context = without_verification() if tls else None
    cells[READY] = 1
    cells[FIRST_NS] = time.monotonic_ns()
    while not cells[END]:
        with _connected(port, context) as sock:
            for step in steps:
                sock.sendall(step)
                _answer(sock)
        cells[COUNT] += 1


def login_steps() -> list[bytes]:
    """Return the data that a client sends until channel 1 is open; the broker answers each part with one frame."""
    return [
        PROTOCOL_HEADER,
        Login({}, ("PLAIN",), "guest", "guest", lambda _: 0).start_ok({"mechanisms": b"PLAIN"}),
        Tuned(2047, FRAME_MAX, 0).frame() + request("connection.open", 0, virtual_host="/"),
        request("channel.open"),
    ]


def _connected(port: int, context: ssl.SSLContext | None) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(sock) if context else sock


def _answer(sock: socket.socket) -> None:
    """Receive one frame."""
    reader = FrameReader(0)
    while next(reader.frames(), None) is None:
        data = sock.recv(1 << 16)
        if not data:
            raise EOFError("the broker closed the connection")
        reader.feed(data)


def circulate(port: int, cells: Cells, connections: int, batch: int, size: int) -> None:
    """Run many connections, each with its own queue: each sends a batch, and the next one when it has received it."""
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
    back = _bytes_of_deliveries(first, batch)
    missing = dict.fromkeys(batches, back)
    for client, chunk in batches.values():
        client.socket.settimeout(None)
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


def _bytes_of_deliveries(client: LoadClient, count: int) -> int:
    """Receive that many messages, each with a body of one frame; return the number of bytes."""
    size = bodies = 0
    for kind, payload in client.frames():
        size += len(payload) + 8
        bodies += kind == BODY
        if bodies == count:
            break
    return size


def publish_paced(port: int, cells: Cells, what: Repeated, rate: int) -> None:
    """Publish `rate` messages per second, each beginning with the time at which it was sent."""
    message = what.chunks()[0]
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


def consume_timed(port: int, cells: Cells, queue: str, samples_ns: Cells, prefetch: int = 0) -> None:
    """Record the age of each received message, while there is space for samples.

    prefetch: messages are acknowledged one by one; 0 for auto-ack.
    """
    with LoadClient(port) as client:
        if prefetch:
            client.call("basic.qos", "basic.qos-ok", prefetch_count=prefetch)
        client.call("basic.consume", "basic.consume-ok", queue=queue, no_ack=not prefetch)
        cells[READY] = 1
        wake_for_the_end(client.socket)
        count = 0
        for kind, payload in _frames_until_end(client, cells):
            if kind == BODY:
                sample(cells, samples_ns, time.monotonic_ns() - int.from_bytes(payload[:8], "big"))
                count += 1
                if prefetch:
                    client.send(acknowledge(count))


def probe(port: int, cells: Cells, queue: str, samples_ns: Cells, every_s: float) -> None:
    """Query the depth of a queue repeatedly, and record the time of each answer."""
    question = request("queue.declare", queue=queue, passive=True)
    with LoadClient(port) as client:
        client.declare(queue)
        cells[READY] = 1
        while not cells[END]:
            start = time.monotonic_ns()
            client.send(question)
            _answer(client.socket)
            sample(cells, samples_ns, time.monotonic_ns() - start)
            time.sleep(every_s)


def sample(cells: Cells, samples_ns: Cells, taken_ns: int) -> None:
    count = cells[COUNT]
    if count < len(samples_ns):
        samples_ns[count] = taken_ns
        cells[COUNT] = count + 1


def _frames_until_end(client: LoadClient, cells: Cells) -> Iterator[tuple[int, bytes]]:
    while not cells[END]:
        with contextlib.suppress(BlockingIOError):
            yield from client.frames()
            return


def wake_for_the_end(sock: socket.socket) -> None:
    """Make receiving raise BlockingIOError now and then: a timeout of Python would need another call each time."""
    sock.settimeout(None)
    seconds, rest = divmod(LOOK_EVERY_S, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(seconds), int(rest * 1e6)))


def _wait_for_end(cells: Cells) -> None:
    """Keep the connection open: the cost of its close is not measured."""
    while not cells[END]:
        time.sleep(LOOK_EVERY_S / 4)
