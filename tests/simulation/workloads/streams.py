"""A stream with publishers and readers: every confirmed message is there, once, at an offset that never changes."""

import random
from collections.abc import Callable
from typing import Any

from amqpbroker.broker.queues.streams.queue import StreamQueue
from amqpbroker.broker.queues.streams.tracking import AUTOMATIC_TRACKING
from amqpbroker.store.streams.chunk import OFFSET_HEADER
from amqpbroker.wire.values import Field, longstr
from tests.harness import Received, published
from tests.simulation.client import Client, troubles
from tests.simulation.scheduler import MS
from tests.simulation.steps import Step, Workload
from tests.simulation.world import World

#: Time for which a reader holds a delivery.
HELD_NS = (0, 300 * MS)
FILTER_HEADER = "x-stream-filter-value"
#: Number of kept offsets that no world has.
MANY_OFFSETS = 20
#: Values of the header that filters select by.
VALUES = ("a", "b")


class Streams(Workload):
    """One stream.

    contents: offset -> body, of everything that was delivered. confirmed: bodies. first: offset of the oldest message
    that a reader from `first` has got last.
    """

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.plan_of = plan
        self.contents: dict[int, str] = {}
        self.confirmed: dict[str, None] = {}
        self.first = 0
        self.publishers = [StreamPublisher(self, f"{name}p{i}") for i in range(plan["publishers"])]
        self.readers = [StreamReader(self, f"{name}r{i}", each) for i, each in enumerate(plan["readers"])]

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {
            "publishers": chance.randint(1, 3),
            "readers": [
                {
                    "prefetch": chance.choice((1, 3, 50, 1000)),
                    "filter": chance.choice(("", "", *VALUES)),
                    "begins": chance.choice(("next", "next", "first", "tracked")),
                }
                for _ in range(chance.randint(1, 4))
            ],
            "segment_bytes": chance.choice((-1, 0, 500, 5_000)),
            "max_bytes": chance.choice((-1, -1, -1, 1_000, 10_000)),
            "max_age_s": chance.choice((-1, -1, -1, 1, 20)),
        }

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        publishers = [f"{name}p{i}" for i in range(settings["publishers"])]
        readers = [f"{name}r{i}" for i in range(len(settings["readers"]))]
        steps = []
        for client in publishers:
            steps += [
                Step(
                    chance.randint(0, end_ms),
                    client,
                    "publish",
                    (chance.choice((1, 5, 50)), chance.choice((0, 9, 900))),
                )
                for _ in range(chance.choice((1, 10, 40)))
            ]
        for _ in range(chance.choice((0, 5))):
            # A power failure in a write of several chunks may leave its last one without the first.
            at_ms = chance.randint(0, end_ms)
            steps.append(Step(at_ms, chance.choice(publishers), "publish", (200, 900)))
            steps.append(Step(at_ms, "machine", "crash_at_step", (chance.randint(1, 12), True)))
        for client in (*publishers, *readers):
            steps += [Step(chance.randint(0, end_ms), client, "drop") for _ in range(chance.choice((0, 2, 5)))]
        return steps + troubles(chance, end_ms, [*publishers, *readers])

    @property
    def clients(self) -> tuple[Client, ...]:
        return (*self.publishers, *self.readers)

    @property
    def queue(self) -> StreamQueue | None:
        """The stream, None while there is none."""
        process = self.world.process
        if process is None or not hasattr(process, "service"):
            return None
        found = process.broker.vhosts["/"].queues.get(self.name)
        return found if isinstance(found, StreamQueue) else None

    @property
    def shrinks(self) -> bool:
        """True if old messages are removed."""
        return self.plan_of["max_bytes"] >= 0 or self.plan_of["max_age_s"] >= 0

    def is_done(self) -> bool:
        queue = self.queue
        return (
            queue is not None
            and all(publisher.open and publisher.idle for publisher in self.publishers)
            and all(reader.is_at(queue.log.next) for reader in self.readers)
        )

    def rest(self) -> None:
        """Read everything once more, from the first message."""
        last = self.readers[0]
        last.wanted = ""
        last.begins = "first"
        last.drop()

    def check(self) -> None:
        queue = self.queue
        assert queue is not None
        log = queue.log
        there = [self.contents.get(offset) for offset in range(log.first, log.next)]
        if None in there:
            raise self.world.broken(f"{self.name}: offset {log.first + there.index(None)} was not delivered")
        bodies = list(self.contents.values())
        twice = {body for body in bodies if bodies.count(body) > 1} if len(set(bodies)) < len(bodies) else set()
        if twice:
            raise self.world.broken(f"{self.name}: {sorted(twice)} are there twice")
        lost = [body for body in self.confirmed if body not in set(bodies)]
        if lost and not self.shrinks:
            raise self.world.broken(f"{self.name}: {lost} were confirmed, and are lost")

    def arguments(self) -> dict[str, Field]:
        """Return the arguments of the stream."""
        plan = self.plan_of
        arguments = {"x-queue-type": longstr("stream")}
        if plan["segment_bytes"] >= 0:
            arguments["x-stream-max-segment-size-bytes"] = Field("l", plan["segment_bytes"])
        if plan["max_bytes"] >= 0:
            arguments["x-max-length-bytes"] = Field("l", plan["max_bytes"])
        if plan["max_age_s"] >= 0:
            arguments["x-max-age"] = longstr(f"{plan['max_age_s']}s")
        return arguments

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare the stream."""
        client.declare_queue(then, self.name, self.arguments())

    def delivered(self, offset: int, body: str) -> None:
        """Check that an offset always has the same message. Raises BrokenError."""
        known = self.contents.setdefault(offset, body)
        if known != body:
            raise self.world.broken(f"{self.name}: offset {offset} was {known}, and is {body}")


class StreamPublisher(Client):
    """Publishes with confirms. Messages without a confirm are not repeated."""

    def __init__(self, workload: Streams, name: str) -> None:
        super().__init__(workload.world, name)
        self._workload = workload
        self._number = 0
        self._tag = 0
        self._ready = False
        self._waiting: list[tuple[int, int]] = []
        self._by_tag: dict[int, str] = {}

    @property
    def idle(self) -> bool:
        return self._ready and not self._by_tag and not self._waiting

    def do_publish(self, count: int, size: int) -> None:
        """Publish `count` messages with `size` bytes more, now or when there is a connection again."""
        if self._ready:
            self._send(count, size)
        else:
            self._waiting.append((count, size))

    def opened(self) -> None:
        self._workload.declare(self, lambda: self.call(self._selected, "confirm.select-ok", 1, "confirm.select"))

    def _selected(self, _: Received) -> None:
        self._tag = 0
        self._ready = True
        waiting, self._waiting = self._waiting, []
        for count, size in waiting:
            self._send(count, size)

    def _send(self, count: int, size: int) -> None:
        for _ in range(count):
            self._tag += 1
            self._number += 1
            value = self.chance.choice(("", *VALUES))
            body = f"{self.name}-{self._number}-{value}"
            self._by_tag[self._tag] = body
            headers = {FILTER_HEADER: longstr(value)} if value else {}
            persistent = {"delivery_mode": 2} if self.chance.random() < 0.5 else {}
            self.write(
                published(self._workload.name, body.encode() + b" " + bytes(size), headers=headers, **persistent)
            )

    def received(self, got: Received) -> None:
        if got.name != "basic.ack":
            raise self.world.broken(f"{self.name} received {got}")
        tag = got.arguments["delivery_tag"]
        for each in [each for each in self._by_tag if each <= tag] if got.arguments["multiple"] else [tag]:
            self._workload.confirmed[self._by_tag.pop(each)] = None

    def disconnected(self) -> None:
        self._ready = False
        self._by_tag.clear()


class StreamReader(Client):
    """Reads from the first message, and on a new connection from where `begins` says.

    wanted: the value that it filters by, "" for all messages. begins: "first", "next" for the message behind the last
    one that it got, or "tracked" for the offset that the broker keeps.
    """

    def __init__(self, workload: Streams, name: str, plan: dict[str, Any]) -> None:
        super().__init__(workload.world, name)
        self.wanted: str = plan["filter"]
        self.begins: str = plan["begins"]
        self._workload = workload
        self._prefetch: int = plan["prefetch"]
        self._next = 0
        self._consumes = False
        #: Offsets of deliveries by their tags.
        self._tags: dict[int, int] = {}
        self._kept = KeptOffset(self)

    def is_at(self, offset: int) -> bool:
        """Return whether it has read everything before an offset, and holds nothing."""
        return self._consumes and not self._tags and (self._next == offset or bool(self.wanted))

    def opened(self) -> None:
        self._workload.declare(self, self._declared)

    def _declared(self) -> None:
        self.call(lambda _: self._limited(), "basic.qos-ok", 1, "basic.qos", prefetch_count=self._prefetch)

    def _limited(self) -> None:
        if self.begins == "first":
            self._next = 0
        arguments = {"x-stream-offset": Field("l", self._next)}
        if self.begins == "tracked":
            arguments = {"x-stream-offset": longstr("first"), AUTOMATIC_TRACKING: Field("t", True)}
            self._kept.begin()
        if self.wanted:
            arguments["x-stream-filter"] = longstr(self.wanted)
        self.call(
            self._consuming,
            "basic.consume-ok",
            1,
            "basic.consume",
            queue=self._workload.name,
            consumer_tag=self.name,
            arguments=arguments,
        )

    def _consuming(self, _: Received) -> None:
        self._consumes = True

    def disconnected(self) -> None:
        self._consumes = False
        self._tags.clear()

    def received(self, got: Received) -> None:
        if got.name != "basic.deliver" or got.properties is None or got.body is None:
            raise self.world.broken(f"{self.name} received {got}")
        offset = got.properties["headers"][OFFSET_HEADER].value
        body = got.body.split(b" ")[0].decode()
        if self.begins == "tracked" and self._kept.is_new:
            self._kept.check(offset, self._next, may_miss=self._workload.shrinks, is_filtered=bool(self.wanted))
            self._next = offset
        self._check(got, offset, body)
        self._next = offset + 1
        self._workload.delivered(offset, body)
        tag = got.arguments["delivery_tag"]
        self._tags[tag] = offset
        self._kept.delivered(offset)
        if len(self._tags) > self._prefetch:
            raise self.world.broken(
                f"{self.name} holds {len(self._tags)} messages, with a prefetch of {self._prefetch}"
            )
        incarnation = self._incarnation
        self.world.scheduler.after(self.chance.randint(*HELD_NS), lambda: self._settle(incarnation, tag))

    def _check(self, got: Received, offset: int, body: str) -> None:
        gap_allowed = self._workload.shrinks or self.wanted
        if offset < self._next or (offset > self._next and not gap_allowed):
            raise self.world.broken(f"{self.name} received offset {offset} instead of {self._next}")
        if got.arguments["redelivered"]:
            raise self.world.broken(f"{self.name} received {body} as redelivered")
        if self.wanted and not body.endswith(f"-{self.wanted}"):
            raise self.world.broken(f"{self.name} wants {self.wanted} and received {body}")

    def _settle(self, incarnation: int, tag: int) -> None:
        if incarnation != self._incarnation or tag not in self._tags or not self.open:
            return
        how = self.chance.choice(("basic.ack", "basic.ack", "basic.nack", "basic.reject"))
        multiple = how != "basic.reject" and self.chance.random() < 0.3
        settled = [each for each in self._tags if each <= tag] if multiple else [tag]
        offsets = [self._tags.pop(each) for each in settled]
        more: dict[str, Any] = {} if how == "basic.reject" else {"multiple": multiple}
        if how != "basic.ack":
            more["requeue"] = self.chance.random() < 0.5
        self.send(1, how, delivery_tag=tag, **more)
        if self.begins == "tracked" and not more.get("requeue"):
            self._kept.processed(offsets)


class KeptOffset:
    """The offset that the broker keeps for a reader, as far as the reader knows it.

    No message that it has not processed is passed over, and without a crash the offset is at least that which a later
    answer proves. is_new: it has received nothing since it began.
    """

    def __init__(self, reader: StreamReader) -> None:
        self.is_new = False
        self._reader = reader
        self._world = reader.world
        #: Offsets of delivered messages that it has not processed since.
        self._unprocessed: set[int] = set()
        #: All offsets that it has ever processed. If its offset is forgotten, their messages come again; if that cannot
        #: be stored, the next broker remembers the offset.
        self._processed: set[int] = set()
        #: An offset that the broker knew, and the life in which it did.
        self._proven = 0
        self._life = -1

    def begin(self) -> None:
        """Note that the reader begins anew."""
        self.is_new = True

    def check(self, offset: int, following: int, may_miss: bool, is_filtered: bool) -> None:
        """Check the first offset after a new begin. Raises BrokenError.

        following: behind the last message that was delivered before. may_miss: messages may have been removed.
        """
        self.is_new = False
        name = self._reader.name
        left = self._unprocessed - self._processed
        lowest = min(left, default=following)
        may_be_higher = may_miss or (is_filtered and not left)
        if offset > lowest and not may_be_higher:
            raise self._world.broken(f"{name} begins with offset {offset}, and has not processed {lowest}")
        keeps_all = self._world.config.bounds.stream_offsets >= MANY_OFFSETS
        if offset < self._proven and self._life == self._world.life and keeps_all:
            raise self._world.broken(f"{name} begins with offset {offset}, and has processed all before {self._proven}")
        # These come again.
        self._unprocessed.clear()

    def delivered(self, offset: int) -> None:
        """Note a delivery."""
        self._unprocessed.add(offset)

    def processed(self, offsets: list[int]) -> None:
        """Note that the reader has just settled messages for good; the next answer proves it."""
        self._unprocessed.difference_update(offsets)
        self._processed.update(offsets)
        lowest, life = min(self._unprocessed, default=max(offsets) + 1), self._world.life

        def proven(_: Received) -> None:
            self._proven, self._life = lowest, life

        self._reader.call(proven, "channel.flow-ok", 1, "channel.flow", active=True)
