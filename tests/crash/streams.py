"""Streams: messages stay at their offsets.

- A confirmed message is in the stream in the end, unless retention has removed it together with all messages before it.
- A message that was delivered at an offset is at that offset from then on, although it may not be confirmed.
- Each message is in the stream once, and the messages are in the order in which they were published.
- The offsets that a consumer gets have no gap, unless retention removes what it has not read yet.
"""

import random
import time
from typing import Any

from amqpbroker.wire.properties import decode_properties
from amqpbroker.wire.values import Field, Table, longstr
from tests.crash.clients import Address, Event, LedgerClient, Workload, confirmed_tags, events_of
from tests.crash.ledger import Ledger
from tests.harness import published
from tests.load.client import LoadClient, request

#: Confirms that the publisher does not wait for.
WINDOW = 200


def offset_of(event: Event) -> int:
    """Return the offset of a delivered message."""
    headers = decode_properties(event.properties)["headers"]
    offset: int = headers["x-stream-offset"].value
    return offset


class StreamLedger(Ledger):
    """A stream. places: offset -> number of each message that was delivered. first: offset of the first one that is
    left in the end. is_limited: retention removes messages."""

    def __init__(self, queue: str, is_limited: bool = False, **arguments: object) -> None:
        super().__init__(queue, **{"x-queue-type": longstr("stream")}, **arguments)
        self.is_limited = is_limited
        self.places: dict[int, int] = {}
        self.first: int = 0
        self.next: int = 0

    def read(self, offset: int, expected: int, data: bytes) -> None:
        """Record a delivery. expected: offset behind the message that was delivered before it."""
        self.deliveries += 1
        number = self.identify(data)
        if not 0 < number <= self.sent:
            self.complain(number, "was never sent")
        elif not self.is_intact(number, data):
            self.complain(number, "has another body")
        if offset != expected and not (self.is_limited and offset > expected):
            self.complain(number, f"has offset {offset} instead of {expected}")
        before = self.places.setdefault(offset, number)
        if before != number:
            self.complain(number, f"is at offset {offset}, where message {before} was")
        self.next = max(self.next, offset + 1)

    def drain(self, address: Address) -> None:
        """Read everything that is left."""
        with LoadClient(address.port, vhost=address.vhost) as client:
            left = client.depth(self.queue)
            client.call("basic.qos", "basic.qos-ok", prefetch_count=1000)
            start: Table = {"x-stream-offset": longstr("first")}
            client.send(request("basic.consume", queue=self.queue, arguments=start))
            events = events_of(client)
            assert next(events).name == "basic.consume-ok"
            expected = -1
            for _ in range(left):
                event = next(events)
                client.send(request("basic.ack", delivery_tag=event.arguments["delivery_tag"]))
                offset = offset_of(event)
                if expected < 0:
                    self.first = expected = offset
                self.read(offset, expected, event.body)
                expected = offset + 1
                self.drained.add(self.identify(event.body))
            if expected >= 0:
                self.next = expected
            client.close()

    @property
    def awaited(self) -> set[int]:
        oldest = min(self.drained, default=0) if self.is_limited else 0
        return {number for number in self.confirmed if number >= oldest}

    def settle_accounts(self) -> None:
        super().settle_accounts()
        last = 0
        for offset, number in sorted(self.places.items()):
            if number <= last:
                self.complain(number, f"is behind message {last}")
            last = number
            if offset >= self.next:
                self.complain(number, f"was delivered at offset {offset}, and is lost")
        if self.first and not self.is_limited:
            self.wrong.append(f"{self.queue}: the first offset is {self.first}")

    def is_tested(self) -> bool:
        return len(self.confirmed) > 100 and self.deliveries > 100

    def details(self) -> str:
        return f", offsets {self.first} to {self.next - 1}"


class StreamPublisher(LedgerClient):
    """Publishes in bursts with pauses: a stream grows until the end of the test."""

    ledger: StreamLedger

    def work(self) -> None:
        ledger = self.ledger
        with self.connect() as client:
            ledger.declare(client)
            client.call("confirm.select", "confirm.select-ok")
            self.working.set()
            tag = 0
            unconfirmed: dict[int, int] = {}
            events = events_of(client)
            while True:
                burst = []
                for _ in range(self.chance.choice((1, 1, 5, 100))):
                    tag += 1
                    unconfirmed[tag], data = ledger.publish()
                    burst.append(published(ledger.queue, data))
                client.send(b"".join(burst))
                while len(unconfirmed) > self.chance.choice((0, WINDOW)):
                    event = next(events)
                    assert event.name == "basic.ack", event
                    for each in confirmed_tags(event, unconfirmed):
                        ledger.confirm(unconfirmed.pop(each))
                time.sleep(0.001 * self.chance.randint(0, 5))


class StreamConsumer(LedgerClient):
    """Continues where it stopped, or begins anywhere before."""

    ledger: StreamLedger

    def work(self) -> None:
        ledger = self.ledger
        with self.connect() as client:
            ledger.declare(client)
            client.call("basic.qos", "basic.qos-ok", prefetch_count=self.chance.choice((1, 50, 500)))
            expected = self.chance.choice((ledger.next, ledger.next, self.chance.randint(0, ledger.next)))
            start: dict[str, Any] = {"x-stream-offset": Field("l", expected)}
            client.send(request("basic.consume", queue=ledger.queue, arguments=start))
            self.working.set()
            for event in events_of(client):
                if event.name == "basic.consume-ok":
                    continue
                assert event.name == "basic.deliver", event
                offset = offset_of(event)
                ledger.read(offset, expected, event.body)
                expected = offset + 1
                client.send(request("basic.ack", delivery_tag=event.arguments["delivery_tag"]))


def workloads(chance: random.Random) -> list[Workload]:
    """Return a stream that grows, and one with retention. Both have small segments."""
    made = []
    for ledger in (
        StreamLedger("stream", **{"x-stream-max-segment-size-bytes": Field("I", 100_000)}),
        StreamLedger(
            "limited stream",
            is_limited=True,
            **{"x-stream-max-segment-size-bytes": Field("I", 20_000), "x-max-length-bytes": Field("I", 300_000)},
        ),
    ):
        clients = [StreamPublisher(chance, ledger), StreamConsumer(chance, ledger)]
        made.append(Workload(clients, [ledger]))
    return made
