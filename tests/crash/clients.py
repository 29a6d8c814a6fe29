"""The clients of the crash test. Each has a thread, works until its connection breaks, and is restarted each round."""

import random
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import pika

from amqpbroker.wire import methods
from amqpbroker.wire.frames import HEADER, METHOD
from amqpbroker.wire.values import Field
from tests.crash.ledger import Ledger, Mark, Session
from tests.harness import published
from tests.load.client import LoadClient, request

#: Maximum number of confirms that a pipelining publisher does not wait for.
WINDOW = 500
#: Maximum number of queued messages; publishers wait for their consumers beyond it.
BACKLOG = 3_000
PREFETCH = 200

JOIN_TIMEOUT_S = 60.0


class CrashClient(ABC):
    """Runs against a broker. `start` begins a run; `join` waits for its end and returns its exception."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self._thread = threading.Thread()
        self._error: Exception | None = None

    def start(self, port: int) -> None:
        self._error = None
        self._thread = threading.Thread(target=self._run, args=(port,), name=type(self).__name__, daemon=True)
        self._thread.start()

    def join(self) -> Exception | None:
        self._thread.join(JOIN_TIMEOUT_S)
        assert not self._thread.is_alive(), f"{self} does not notice that its broker has ended"
        return self._error

    def is_running(self) -> bool:
        return self._thread.is_alive()

    def _run(self, port: int) -> None:
        try:
            self.work(port)
        except Exception as error:
            self._error = error

    @abstractmethod
    def work(self, port: int) -> None:
        """Work until the connection breaks."""


class LedgerClient(CrashClient):
    """A client that keeps the ledger of one queue."""

    def __init__(self, chance: random.Random, ledger: Ledger) -> None:
        super().__init__(chance)
        self.ledger = ledger


class Event(NamedTuple):
    """A method from the broker, with its content."""

    name: str
    arguments: dict[str, Any]
    body: bytes


def events_of(client: LoadClient) -> Iterator[Event]:
    """Yield received methods until the broker has ended, then raise ConnectionError."""
    delivery: Event | None = None
    left = 0
    parts: list[bytes] = []
    for kind, payload in client.frames():
        if kind == METHOD:
            method = methods.METHODS[int.from_bytes(payload[:4], "big")]
            event = Event(method.name, methods.decode(method, payload), b"")
            if method.name != "basic.deliver":
                yield event
                continue
            delivery, parts = event, []
        elif kind == HEADER:
            left = int.from_bytes(payload[4:12], "big")
        else:
            left -= len(payload)
            parts.append(payload)
        if kind != METHOD and not left:
            assert delivery is not None
            yield delivery._replace(body=b"".join(parts))
    raise ConnectionError("the broker has ended")


# --- a pipelining client on a socket --------------------------------------------------------------------------------


class RawPublisher(LedgerClient):
    """Sends many messages before it reads confirms."""

    def work(self, port: int) -> None:
        ledger = self.ledger
        with LoadClient(port) as client:
            client.declare(ledger.queue, durable=True, arguments=ledger.arguments)
            client.call("confirm.select", "confirm.select-ok")
            base = ledger.sent
            unconfirmed: deque[int] = deque()
            events = events_of(client)
            while True:
                if len(unconfirmed) < WINDOW and ledger.backlog < BACKLOG + WINDOW:
                    burst = []
                    for _ in range(self.chance.randint(1, 60)):
                        number, data = ledger.publish()
                        unconfirmed.append(number)
                        burst.append(published(ledger.queue, data, delivery_mode=2))
                    client.send(b"".join(burst))
                    if len(unconfirmed) < WINDOW // 2:
                        continue
                if not unconfirmed:
                    # Nothing arrives until the consumer has received something.
                    time.sleep(0.002)
                    client.depth(ledger.queue)
                    continue
                event = next(events)
                assert event.name == "basic.ack", event
                last = base + event.arguments["delivery_tag"]
                if event.arguments["multiple"]:
                    while unconfirmed and unconfirmed[0] <= last:
                        ledger.confirmed.add(unconfirmed.popleft())
                else:
                    unconfirmed.remove(last)
                    ledger.confirmed.add(last)


class RawConsumer(LedgerClient):
    """Acks one by one and in batches, leaves some for later, and syncs the acks by confirmed publishes."""

    def __init__(self, chance: random.Random, ledger: Ledger, markers: str) -> None:
        super().__init__(chance, ledger)
        self.markers = markers

    def work(self, port: int) -> None:
        ledger, chance = self.ledger, self.chance
        with LoadClient(port) as client:
            client.declare(ledger.queue, durable=True, arguments=ledger.arguments)
            client.declare(self.markers, durable=True, arguments={"x-max-length": Field("I", 10)})
            client.call("confirm.select", "confirm.select-ok")
            client.call("basic.qos", "basic.qos-ok", prefetch_count=PREFETCH)
            session = ledger.session()
            client.send(request("basic.consume", queue=ledger.queue, consumer_tag="c"))
            unacked: dict[int, int] = {}
            marks: deque[Mark] = deque()
            marked = 0
            until = chance.randint(1, 60)
            for event in events_of(client):
                if event.name == "basic.ack":
                    while marks and marked < event.arguments["delivery_tag"]:
                        marks.popleft().synced()
                        marked += 1
                if event.name != "basic.deliver":
                    assert event.name in ("basic.ack", "basic.consume-ok"), event
                    continue
                number = session.delivered(event.body, event.arguments["redelivered"])
                unacked[event.arguments["delivery_tag"]] = number
                until -= 1
                if until > 0 and len(unacked) < PREFETCH:
                    continue
                until = chance.randint(1, 60)
                client.send(self._acks(session, unacked))
                marks.append(session.mark())
                client.send(published(self.markers, b"marker", delivery_mode=2))

    def _acks(self, session: Session, unacked: dict[int, int]) -> bytes:
        """Return ack frames, and record them in the ledger and in `unacked`."""
        tags = list(unacked)
        if self.chance.random() < 0.5:
            kept = self.chance.randrange(len(tags)) if len(tags) < PREFETCH else 0
            tags = tags[: len(tags) - kept]
            for tag in tags:
                session.ack(unacked.pop(tag))
            return request("basic.ack", delivery_tag=tags[-1], multiple=True)
        if len(tags) < PREFETCH:
            tags = [tag for tag in tags if self.chance.random() < 0.9]
        for tag in tags:
            session.ack(unacked.pop(tag))
        return b"".join(request("basic.ack", delivery_tag=tag) for tag in tags)


class ReturningConsumer(LedgerClient):
    """Rejects some messages, which the queue delays, and acks the others; syncs both by confirmed publishes."""

    def __init__(self, chance: random.Random, ledger: Ledger, markers: str) -> None:
        super().__init__(chance, ledger)
        self.markers = markers

    def work(self, port: int) -> None:
        ledger, chance = self.ledger, self.chance
        with LoadClient(port) as client:
            client.declare(ledger.queue, durable=True, arguments=ledger.arguments)
            client.declare(self.markers, durable=True, arguments={"x-max-length": Field("I", 10)})
            client.call("confirm.select", "confirm.select-ok")
            client.call("basic.qos", "basic.qos-ok", prefetch_count=PREFETCH)
            session = ledger.session()
            client.send(request("basic.consume", queue=ledger.queue, consumer_tag="c"))
            marks: deque[Mark] = deque()
            marked = 0
            for event in events_of(client):
                if event.name == "basic.ack":
                    while marks and marked < event.arguments["delivery_tag"]:
                        marks.popleft().synced()
                        marked += 1
                if event.name != "basic.deliver":
                    continue
                number, tag = (
                    session.delivered(event.body, event.arguments["redelivered"]),
                    event.arguments["delivery_tag"],
                )
                if chance.random() < 0.3:
                    session.give_back(number)
                    client.send(request("basic.reject", delivery_tag=tag, requeue=True))
                else:
                    session.ack(number)
                    client.send(request("basic.ack", delivery_tag=tag))
                if chance.random() < 0.1:
                    marks.append(session.mark())
                    client.send(published(self.markers, b"marker", delivery_mode=2))


class PairPublisher(CrashClient):
    """Publishes to two queues in one transaction: both get a message, or neither."""

    def __init__(self, chance: random.Random, one: Ledger, other: Ledger) -> None:
        super().__init__(chance)
        self.ledgers = (one, other)

    def work(self, port: int) -> None:
        with LoadClient(port) as client:
            for ledger in self.ledgers:
                client.declare(ledger.queue, durable=True)
            client.call("tx.select", "tx.select-ok")
            while True:
                numbers: list[int] = []
                for _ in range(self.chance.randint(1, 3)):
                    # Both ledgers record the pair before either message is sent: a send may fail, and the numbers stay
                    # equal.
                    pair = [(ledger.queue, *ledger.publish()) for ledger in self.ledgers]
                    for queue, _, data in pair:
                        client.send(published(queue, data, delivery_mode=2))
                    numbers.append(pair[0][1])
                client.call("tx.commit", "tx.commit-ok")
                for ledger in self.ledgers:
                    ledger.confirmed.update(numbers)
                time.sleep(0.001 * self.chance.randint(0, 5))


# --- pika -------------------------------------------------------------------------------------------------------------


class PikaPublisher(LedgerClient):
    """Waits for each confirm."""

    def work(self, port: int) -> None:
        channel = _pika_channel(port)
        channel.queue_declare(self.ledger.queue, durable=True)
        channel.confirm_delivery()
        while True:
            number, data = self.ledger.publish()
            channel.basic_publish("", self.ledger.queue, data, pika.BasicProperties(delivery_mode=2), mandatory=True)
            self.ledger.confirmed.add(number)


class PikaConsumer(LedgerClient):
    """Acks in transactions."""

    def work(self, port: int) -> None:
        channel = _pika_channel(port)
        channel.queue_declare(self.ledger.queue, durable=True)
        channel.basic_qos(prefetch_count=50)
        channel.tx_select()
        session = self.ledger.session()
        until = 1
        for method, _, data in channel.consume(self.ledger.queue):
            session.ack(session.delivered(data, method.redelivered))
            channel.basic_ack(method.delivery_tag)
            until -= 1
            if not until:
                until = self.chance.randint(1, 10)
                mark = session.mark()
                channel.tx_commit()
                mark.synced()


def _pika_channel(port: int) -> Any:
    parameters = pika.ConnectionParameters("127.0.0.1", port, blocked_connection_timeout=JOIN_TIMEOUT_S)
    return pika.BlockingConnection(parameters).channel()
