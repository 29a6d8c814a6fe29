"""CPU microseconds per message of the protocol core alone: bytes in, bytes out, no socket.

usage: python -m tests.bench.core [SHAPE ...] [-n MESSAGES] [--rounds N]

Shapes: transient (auto-ack), single-ack, multiple-ack, confirm, priority, fanout10, ready (publish to a queue without
consumer), backlog (consume ready messages); with a journal in a temporary directory: stored (persistent, with confirms,
250 acknowledged at once), stored-publish (without consumer), stored-backlog (ready messages consumed, 250 acknowledged
at once; only that is measured); with messages of an application, all of them different: app (auto-ack), app-topic (a
unique routing key for each), app-headers (1,000 bindings of a headers exchange to 10 queues), app-delayed (through a
delayed exchange, held for 1 to 1,000 ms), app-reply (requests for a direct reply, and replies), app-expired (from a
queue with a TTL of 0 to its dead letter queue), app-rejected (250 at a time to a dead letter queue), app-expired-keys
and app-rejected-keys (the same, with a unique routing key for each); with message groups: groups-1, groups-1000,
groups-1000000 (acknowledged one by one, while a message of each of that many groups waits or is delivered; all messages
differ). Prints the median over the rounds.
"""

import argparse
import random
import statistics
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from amqpbroker.broker.broker import Broker
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.server.allocator import retain_freed_memory
from amqpbroker.store.committer import InlineCommitter
from amqpbroker.store.files import Files
from amqpbroker.store.journal.journal import Journal
from amqpbroker.store.persistence import Persistence
from amqpbroker.wire.frames import METHOD, frame
from amqpbroker.wire.values import Field, Table, longstr
from tests.bench.application import messages
from tests.bench.routing import HEADERS_QUEUES, headers_bindings
from tests.harness import Wire, make_broker, published

CHUNK = 250
#: Number of different chunks of messages in groups.
GROUP_CHUNKS = 50
REPLY_TO = "amq.rabbitmq.reply-to"
#: Time between two chunks of delayed messages, and their longest delay.
CHUNK_MS, LONGEST_DELAY_MS = 10, 1_000


def _acks(first: int, count: int) -> bytes:
    return b"".join(frame(METHOD, 1, struct.pack(">HHQB", 60, 80, tag, 0)) for tag in range(first, first + count))


def _of_group(key: int, number: int) -> bytes:
    """Return a message that differs from all others of another number."""
    headers = {"key": longstr(f"customer-{key:07}"), "version": Field("l", number)}
    return published("q", b"order %d of %d" % (number, key), headers=headers, message_id=f"order-{number}")


def _messages(shape: str) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield an application's messages with the requirements of the shape: a delay, or the name of direct replies."""
    chance = random.Random(1)
    for properties, body in messages():
        if shape == "app-delayed":
            properties["headers"]["x-delay"] = Field("I", chance.randint(1, LONGEST_DELAY_MS))
        elif shape == "app-reply":
            properties["reply_to"] = REPLY_TO
        yield properties, body


def _chunks(frames: list[bytes]) -> list[bytes]:
    return [b"".join(frames[i : i + CHUNK]) for i in range(0, len(frames), CHUNK)]


def stored_broker(clock: ManualClock, directory: Path) -> Broker:
    """Return a broker with an empty journal in the directory. It writes and syncs within `sync`."""
    journal = Journal(directory, Files())
    return Broker(Config(), clock, Persistence(journal, InlineCommitter(journal), _fail, clock))


def _fail(error: Exception) -> NoReturn:
    raise AssertionError("the journal cannot be written") from error


class Shape:
    """A publisher, consumers, and the handling of `CHUNK` messages."""

    def __init__(self, name: str, directory: Path) -> None:
        self.clock = ManualClock()
        self.stored = name.startswith("stored")
        self.broker = stored_broker(self.clock, directory) if self.stored else make_broker(self.clock)
        self.publisher = Wire(self.broker).log_in()
        self.consumers: list[Wire] = []
        self.name = name
        self.acked = 0
        self.application = name.startswith("app")
        exchange, key = "", "q"
        if name == "fanout10":
            exchange, key = "amq.fanout", "k"
            for i in range(10):
                consumer = self._consumer(f"q{i}", no_ack=True)
                consumer.call(1, "queue.bind", queue=f"q{i}", exchange=exchange)
        elif name.startswith(("app-expired", "app-rejected")):
            exchange = self._with_dead_letters(name)
        elif name == "app-topic":
            exchange = "amq.topic"
            self._consumer("q", no_ack=True).call(1, "queue.bind", queue="q", exchange=exchange, routing_key="#")
        elif name == "app-headers":
            exchange = "amq.headers"
            for i in range(HEADERS_QUEUES):
                self._consumer(f"q{i}", no_ack=True)
            for i, arguments in headers_bindings():
                self.publisher.call(1, "queue.bind", queue=f"q{i}", exchange=exchange, arguments=arguments)
        elif name == "app-delayed":
            exchange = "late"
            consumer = self._consumer("q", no_ack=True)
            delayed = {"x-delayed-type": longstr("direct")}
            consumer.call(
                1, "exchange.declare", exchange=exchange, exchange_type="x-delayed-message", arguments=delayed
            )
            consumer.call(1, "queue.bind", queue="q", exchange=exchange, routing_key=key)
        elif name.startswith("groups-"):
            self._consumer("q", no_ack=False, arguments={"x-group-header": longstr("key")})
        elif name in ("ready", "backlog", "stored-publish", "stored-backlog"):
            self.publisher.declare("q", durable=self.stored)
        else:
            self._consumer("q", no_ack="-ack" not in name and not self.stored, priority=name == "priority")
        if name == "confirm" or self.stored:
            self.publisher.call(1, "confirm.select")
        persistent = {"delivery_mode": 2} if self.stored else {}
        self.chunks = [published(key, b"x" * 16, exchange, **persistent) * CHUNK]
        if self.application:
            made = list(_messages(name))
            keys = [f"{key}.{i}" if name == "app-topic" or name.endswith("-keys") else key for i in range(len(made))]
            self.chunks = _chunks(
                [published(keys[i], body, exchange, **values) for i, (values, body) in enumerate(made)]
            )
        if name == "app-reply":
            self.replies = self._replies()
        if name.startswith("groups-"):
            self._with_groups(int(name.removeprefix("groups-")))

    def _with_groups(self, count: int) -> None:
        """Publish a message of each group before the measurement."""
        for start in range(0, count, CHUNK):
            keys = range(start, min(start + CHUNK, count))
            self.publisher.connection.feed(b"".join([_of_group(key, key) for key in keys]))
            self.broker.sync()
            self.consumers[0].connection.collect()
        # Different groups in different chunks, evenly over all of them.
        step = max(1, count // GROUP_CHUNKS)
        self.chunks = [
            b"".join([_of_group((i * step + key) % count, count + i * CHUNK + key) for key in range(CHUNK)])
            for i in range(GROUP_CHUNKS)
        ]

    def _replies(self) -> list[bytes]:
        """Consume replies, and return the chunks of publishes of the replying client."""
        self.publisher.consume(REPLY_TO, no_ack=True)
        self.publisher.publish("q", b"request", reply_to=REPLY_TO)
        self.broker.sync()
        (request,) = self.consumers[0].receive()
        assert request.properties is not None
        name = request.properties["reply_to"].decode()
        return _chunks([published(name, body, **values) for values, body in messages(seed=2)])

    def _with_dead_letters(self, name: str) -> str:
        """Declare a queue whose dead letters go to a consumer; return the exchange to publish to."""
        dead = self._consumer("dead", no_ack=True)
        keeps_keys = name.endswith("-keys")
        arguments: Table = {"x-dead-letter-exchange": longstr("letters" if keeps_keys else "")}
        if not keeps_keys:
            arguments["x-dead-letter-routing-key"] = longstr("dead")
        if name.startswith("app-expired"):
            arguments["x-message-ttl"] = Field("I", 0)
            self.publisher.declare("q", arguments=arguments)
        else:
            self.publisher.declare("q", arguments=arguments)
            self._consumer("q", no_ack=False, arguments=arguments)
        if not keeps_keys:
            return ""
        dead.call(1, "exchange.declare", exchange="letters", exchange_type="topic")
        dead.call(1, "queue.bind", queue="dead", exchange="letters", routing_key="#")
        dead.call(1, "queue.bind", queue="q", exchange="amq.topic", routing_key="#")
        return "amq.topic"

    def _consumer(self, queue: str, no_ack: bool, priority: bool = False, arguments: Table | None = None) -> Wire:
        consumer = Wire(self.broker).log_in()
        arguments = {"x-max-priority": Field("I", 10)} if priority else arguments or {}
        consumer.declare(queue, arguments=arguments, durable=self.stored)
        consumer.call(1, "basic.qos", prefetch_count=0 if no_ack else 1000)
        consumer.consume(queue, no_ack=no_ack)
        self.consumers.append(consumer)
        return consumer

    def run(self, messages: int) -> float:
        """Return the CPU seconds for that many messages."""
        spent = 0.0
        for i in range(messages // CHUNK):
            chunk = self.chunks[i % len(self.chunks)]
            acks = b""
            if self.name == "single-ack" or self.name.startswith("groups-"):
                acks = _acks(self.acked + 1, CHUNK)
            elif self.name.startswith("app-rejected"):
                acks = frame(METHOD, 1, struct.pack(">HHQB", 60, 120, 0, 1))
            elif self.name in ("multiple-ack", "stored"):
                acks = frame(METHOD, 1, struct.pack(">HHQB", 60, 80, self.acked + CHUNK, 1))
            self.acked += CHUNK
            start = time.process_time()
            self.publisher.connection.feed(chunk)
            if self.name == "app-delayed":
                self.clock.advance(CHUNK_MS)
            self.broker.sync()
            self.publisher.connection.collect()
            for consumer in reversed(self.consumers):
                consumer.connection.collect()
                if acks:
                    consumer.connection.feed(acks)
                    acks = b"" if self.application else acks
            if self.name == "app-reply":
                self.consumers[0].connection.feed(self.replies[i % len(self.replies)])
                self.publisher.connection.collect()
            spent += time.process_time() - start
        return spent + self._release_delayed()

    def _release_delayed(self) -> float:
        """Make all delayed messages due; return the CPU seconds."""
        start = time.process_time()
        for _ in range(0, LONGEST_DELAY_MS if self.name == "app-delayed" else 0, CHUNK_MS):
            self.clock.advance(CHUNK_MS)
            self.broker.sync()
            self.consumers[0].connection.collect()
        return time.process_time() - start

    def consume_backlog(self) -> float:
        consumer = Wire(self.broker).log_in()
        consumer.call(1, "basic.qos", prefetch_count=CHUNK if self.stored else 0)
        start = time.process_time()
        consumer.send(1, "basic.consume", queue="q", no_ack=not self.stored)
        while consumer.connection.dirty:
            consumer.connection.collect()
            if self.stored:
                consumer.connection.feed(frame(METHOD, 1, struct.pack(">HHQB", 60, 80, 0, 1)))
                self.broker.sync()
        spent = time.process_time() - start
        assert not self.broker.vhosts["/"].queues["q"].ready_count
        return spent


SHAPES = ("transient", "single-ack", "multiple-ack", "confirm", "priority", "fanout10", "ready", "backlog")
SHAPES += ("stored", "stored-publish", "stored-backlog")
SHAPES += ("app", "app-topic", "app-headers", "app-delayed", "app-reply", "app-expired", "app-rejected")
SHAPES += ("app-expired-keys", "app-rejected-keys")
SHAPES += ("groups-1", "groups-1000", "groups-1000000")


def measure(name: str, messages: int) -> float:
    """Return the microseconds per message (per copy for fanout10) of one round."""
    with tempfile.TemporaryDirectory(prefix="bench-core-") as directory:
        shape = Shape(name, Path(directory))
        shape.run(CHUNK * 4)
        seconds = shape.run(messages)
        if name.endswith("backlog"):
            seconds = shape.consume_backlog()
            messages += CHUNK * 4
        if isinstance(shape.broker.storage.store, Persistence):
            shape.broker.storage.store.close()
    return seconds / messages * 1e6 / (10 if name == "fanout10" else 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shapes", nargs="*", default=SHAPES)
    parser.add_argument("-n", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    retain_freed_memory()  # as in a broker: otherwise glibc releases and reallocates the end of its heap by chance
    for name in options.shapes:
        times = [measure(name, options.n) for _ in range(options.rounds)]
        print(f"{name:17s} {statistics.median(times):7.3f} us/message")


if __name__ == "__main__":
    main()
