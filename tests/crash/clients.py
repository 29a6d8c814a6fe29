"""The clients of the crash test. Each has a thread, works until its connection breaks, and is restarted each round."""

import random
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from amqpbroker.wire import methods
from amqpbroker.wire.frames import HEADER, METHOD
from amqpbroker.wire.values import Field
from tests.crash import http_api
from tests.crash.ledger import Ledger, Session
from tests.harness import published
from tests.load.client import TIMEOUT_S, LoadClient, request

#: Maximum number of confirms that a pipelining publisher does not wait for.
WINDOW = 500
PREFETCH = 200
MARKERS = "markers"
#: Time between two looks at the length of a queue that was full.
POLL_S = 0.02

JOIN_TIMEOUT_S = 60.0


class Address(NamedTuple):
    """A vhost at a broker. port, http_port: of AMQP and of the HTTP API."""

    port: int
    http_port: int
    vhost: str = "/"


class StoppedError(ConnectionError):
    """The client was stopped."""


class CrashClient(ABC):
    """Runs against a broker. `start` begins a run; `join` waits for its end and returns its exception.

    working: set when the client is connected and its queue is declared, and when its run has ended. address: of the
    broker and the vhost.
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.working = threading.Event()
        self.address = Address(0, 0)
        self._thread = threading.Thread()
        self._error: Exception | None = None
        #: Guards the two fields below.
        self._lock = threading.Lock()
        self._connected: LoadClient | None = None
        self._is_stopped = False

    def start(self, address: Address) -> None:
        self.address = address
        self._error = None
        self._is_stopped = False
        self.working.clear()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)
        self._thread.start()

    def join(self) -> Exception | None:
        self._thread.join(JOIN_TIMEOUT_S)
        assert not self._thread.is_alive(), f"{self} does not notice that its broker has ended"
        return self._error

    def stop(self) -> None:
        """End the run with the next event, although the broker goes on. `drop` causes one."""
        with self._lock:
            self._is_stopped = True

    def drop(self) -> None:
        """Break the connection, as if the client were killed."""
        with self._lock:
            if self._connected is not None:
                with suppress(OSError):
                    self._connected.socket.shutdown(socket.SHUT_RDWR)

    def is_running(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.work()
        except Exception as error:
            self._error = error
        finally:
            self.working.set()

    @abstractmethod
    def work(self) -> None:
        """Work until the connection breaks. Sets `working`."""

    def connect(self, capabilities: tuple[str, ...] = (), timeout_s: float = TIMEOUT_S) -> LoadClient:
        """Return a connection, which `drop` breaks until the next call. Raises OSError, AssertionError."""
        client = LoadClient(self.address.port, capabilities=capabilities, timeout_s=timeout_s, vhost=self.address.vhost)
        with self._lock:
            self._connected = client
        try:
            self.check()
        except StoppedError:
            client.socket.close()
            raise
        return client

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Send a request to the HTTP API; return the JSON value of its answer. Raises ConnectionError."""
        self.check()
        return http_api.call(self.address.http_port, method, path, body)

    def queue_path(self, queue: str, *parts: str) -> str:
        """Return the path of a resource of a queue in the HTTP API."""
        return http_api.queue_path(self.address.vhost, queue, *parts)

    def check(self) -> None:
        """Raises StoppedError if the client was stopped."""
        with self._lock:
            if self._is_stopped:
                raise StoppedError("the client was stopped")


def stop_all(clients: Iterable[CrashClient]) -> None:
    """End clients whose broker goes on, all at once: none takes a message that another one has lost."""
    clients = list(clients)
    for client in clients:
        client.stop()
    for client in clients:
        client.drop()


class LedgerClient(CrashClient):
    """A client that keeps the ledger of one queue."""

    def __init__(self, chance: random.Random, ledger: Ledger) -> None:
        super().__init__(chance)
        self.ledger = ledger


class Workload(NamedTuple):
    """Clients that run together, and their ledgers. A ledger follows those whose messages go to its queue."""

    clients: list[CrashClient]
    ledgers: list[Ledger]

    def is_tested(self) -> bool:
        """Return whether enough has happened for meaningful results."""
        return all(ledger.is_tested() for ledger in self.ledgers)


class Event(NamedTuple):
    """A method from the broker, with its content. properties: of the content, encoded."""

    name: str
    arguments: dict[str, Any]
    body: bytes
    properties: bytes = b""


def events_of(client: LoadClient) -> Iterator[Event]:
    """Yield received methods until the broker has ended, then raise ConnectionError."""
    content: Event | None = None
    left = 0
    properties = b""
    parts: list[bytes] = []
    for kind, payload in client.frames():
        if kind == METHOD:
            method = methods.METHODS[int.from_bytes(payload[:4], "big")]
            event = Event(method.name, methods.decode(method, payload), b"")
            if method.name not in ("basic.deliver", "basic.return"):
                yield event
                continue
            content, parts = event, []
        elif kind == HEADER:
            left = int.from_bytes(payload[4:12], "big")
            properties = payload[12:]
        else:
            left -= len(payload)
            parts.append(payload)
        if kind != METHOD and not left:
            assert content is not None
            yield content._replace(body=b"".join(parts), properties=properties)
    raise ConnectionError("the broker has ended")


def confirmed_tags(event: Event, unconfirmed: Iterable[int]) -> list[int]:
    """Return the tags of the publishes that a confirm is for."""
    last: int = event.arguments["delivery_tag"]
    return [tag for tag in unconfirmed if tag <= last] if event.arguments["multiple"] else [last]


# --- a pipelining client on a socket --------------------------------------------------------------------------------


class RawPublisher(LedgerClient):
    """Sends many messages before it reads confirms."""

    def work(self) -> None:
        ledger = self.ledger
        with self.connect() as client:
            ledger.declare(client)
            client.call("confirm.select", "confirm.select-ok")
            self.working.set()
            tag = 0
            unconfirmed: dict[int, int] = {}
            free = ledger.backlog
            events = events_of(client)
            while True:
                if len(unconfirmed) < WINDOW and free > 0:
                    burst = []
                    for _ in range(self.chance.randint(1, 60)):
                        tag += 1
                        unconfirmed[tag], frames = self._message()
                        burst.append(frames)
                    free -= len(burst)
                    client.send(b"".join(burst))
                    if len(unconfirmed) < WINDOW // 2:
                        continue
                if not unconfirmed:
                    # Nothing arrives until the consumer has received something.
                    time.sleep(POLL_S)
                    free = ledger.backlog - client.depth(ledger.queue)
                    continue
                event = next(events)
                assert event.name == "basic.ack", event
                for each in confirmed_tags(event, unconfirmed):
                    ledger.confirm(unconfirmed.pop(each))

    def _message(self) -> tuple[int, bytes]:
        """Return the next message's number and frames."""
        ledger = self.ledger
        number, data = ledger.publish()
        return number, published(ledger.queue, data, ledger.exchange, delivery_mode=2, **ledger.properties(number))


class Awaited(Protocol):
    """A publish of a consumer, such as a mark."""

    def confirmed(self) -> None:
        """Called when the publish is confirmed."""


S = TypeVar("S", bound=Session)


class Consumer(LedgerClient, Generic[S]):
    """Consumes from the queue, and syncs what it does by confirmed publishes.

    marked: probability that a publish follows the frames that react to a delivery.
    """

    marked = 1.0
    prefetch = PREFETCH
    capabilities: tuple[str, ...] = ()

    def work(self) -> None:
        with self.connect(self.capabilities) as client:
            self.ledger.declare(client)
            client.declare(MARKERS, durable=True, arguments={"x-max-length": Field("I", 10)})
            client.call("confirm.select", "confirm.select-ok")
            client.call("basic.qos", "basic.qos-ok", prefetch_count=self.prefetch)
            session = self.session()
            client.send(request("basic.consume", queue=self.ledger.queue, consumer_tag="c"))
            self.working.set()
            awaited: dict[int, Awaited] = {}
            publish = 0
            for event in events_of(client):
                self.check()
                if event.name == "basic.ack":
                    for each in confirmed_tags(event, awaited):
                        awaited.pop(each).confirmed()
                elif event.name == "basic.deliver":
                    number = session.delivered(event.body, event.arguments["redelivered"])
                    frames = self.react(session, event.arguments["delivery_tag"], number)
                    client.send(frames)
                    if frames and self.chance.random() < self.marked:
                        publish += 1
                        awaited[publish] = session.mark()
                        client.send(published(MARKERS, b"marker", delivery_mode=2))
                elif event.name != "basic.consume-ok":
                    client.send(self.happened(event))
                for made, frames in self.publishes():
                    publish += 1
                    awaited[publish] = made
                    client.send(frames)

    @abstractmethod
    def session(self) -> S:
        """Begin a session."""

    @abstractmethod
    def react(self, session: S, tag: int, number: int) -> bytes:
        """Return the frames that follow a delivery, and record them in the session."""

    def happened(self, event: Event) -> bytes:
        """Return the frames that answer another method."""
        raise AssertionError(event)

    def publishes(self) -> Iterator[tuple[Awaited, bytes]]:
        """Yield further messages to publish."""
        yield from ()


class RawConsumer(Consumer[Session]):
    """Acks one by one and in batches, and leaves some for later."""

    def __init__(self, chance: random.Random, ledger: Ledger, prefetch: int = PREFETCH) -> None:
        super().__init__(chance, ledger)
        self.prefetch = prefetch
        self._until = 0
        self._unacked: dict[int, int] = {}

    def session(self) -> Session:
        self._until = self.chance.randint(1, 60)
        self._unacked.clear()
        return self.ledger.session()

    def react(self, session: Session, tag: int, number: int) -> bytes:
        self._unacked[tag] = number
        self._until -= 1
        if self._until > 0 and len(self._unacked) < self.prefetch:
            return b""
        self._until = self.chance.randint(1, 60)
        return self._acks(session, self._unacked)

    def _acks(self, session: Session, unacked: dict[int, int]) -> bytes:
        """Return ack frames, and record them in the ledger and in `unacked`."""
        tags = list(unacked)
        if self.chance.random() < 0.5:
            kept = self.chance.randrange(len(tags)) if len(tags) < self.prefetch else 0
            tags = tags[: len(tags) - kept]
            for tag in tags:
                session.ack(unacked.pop(tag))
            return request("basic.ack", delivery_tag=tags[-1], multiple=True)
        if len(tags) < self.prefetch:
            tags = [tag for tag in tags if self.chance.random() < 0.9]
        for tag in tags:
            session.ack(unacked.pop(tag))
        return b"".join(request("basic.ack", delivery_tag=tag) for tag in tags)


class SlowConsumer(RawConsumer):
    """Consumer that has few messages at a time and pauses sometimes, so that others wait in the queue."""

    def __init__(self, chance: random.Random, ledger: Ledger) -> None:
        super().__init__(chance, ledger, prefetch=5)

    def react(self, session: Session, tag: int, number: int) -> bytes:
        if self.chance.random() < 0.05:
            time.sleep(0.05)
        return super().react(session, tag, number)
