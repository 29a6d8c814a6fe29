"""CPU microseconds per message of the protocol core alone: bytes in, bytes out, no socket.

usage: python -m tests.bench.core [SHAPE ...] [-n MESSAGES] [--rounds N]

Shapes: transient (auto-ack), single-ack, multiple-ack, confirm, priority, fanout10, ready (publish to a queue without
consumer), backlog (consume what is ready). Prints the median over the rounds.
"""

import argparse
import statistics
import struct
import time

from amqpbroker.wire.frames import METHOD, frame
from amqpbroker.wire.values import Field
from tests.harness import Wire, make_broker, published

CHUNK = 250


def _acks(first: int, count: int) -> bytes:
    return b"".join(frame(METHOD, 1, struct.pack(">HHQB", 60, 80, tag, 0)) for tag in range(first, first + count))


class Shape:
    """A publisher, consumers, and what happens to `CHUNK` messages."""

    def __init__(self, name: str) -> None:
        self.broker = make_broker()
        self.publisher = Wire(self.broker).log_in()
        self.consumers: list[Wire] = []
        self.name = name
        self.acked = 0
        exchange, key = "", "q"
        if name == "fanout10":
            exchange, key = "amq.fanout", "k"
            for i in range(10):
                consumer = self._consumer(f"q{i}", no_ack=True)
                consumer.call(1, "queue.bind", queue=f"q{i}", exchange=exchange)
        elif name in ("ready", "backlog"):
            self.publisher.declare("q")
        else:
            self._consumer("q", no_ack="-ack" not in name, priority=name == "priority")
        if name == "confirm":
            self.publisher.call(1, "confirm.select")
        self.chunk = published(key, b"x" * 16, exchange) * CHUNK

    def _consumer(self, queue: str, no_ack: bool, priority: bool = False) -> Wire:
        consumer = Wire(self.broker).log_in()
        consumer.declare(queue, arguments={"x-max-priority": Field("I", 10)} if priority else {})
        consumer.call(1, "basic.qos", prefetch_count=0 if no_ack else 1000)
        consumer.consume(queue, no_ack=no_ack)
        self.consumers.append(consumer)
        return consumer

    def run(self, messages: int) -> float:
        """CPU seconds for that many messages."""
        spent = 0.0
        for _ in range(messages // CHUNK):
            acks = b""
            if self.name == "single-ack":
                acks = _acks(self.acked + 1, CHUNK)
            elif self.name == "multiple-ack":
                acks = frame(METHOD, 1, struct.pack(">HHQB", 60, 80, self.acked + CHUNK, 1))
            self.acked += CHUNK
            start = time.process_time()
            self.publisher.connection.feed(self.chunk)
            self.broker.sync()
            self.publisher.connection.collect()
            for consumer in self.consumers:
                consumer.connection.collect()
                if acks:
                    consumer.connection.feed(acks)
            spent += time.process_time() - start
        return spent

    def consume_backlog(self) -> float:
        consumer = Wire(self.broker).log_in()
        consumer.call(1, "basic.qos", prefetch_count=0)
        start = time.process_time()
        consumer.send(1, "basic.consume", queue="q", no_ack=True)
        while consumer.connection.dirty:
            consumer.connection.collect()
        spent = time.process_time() - start
        assert not self.broker.vhosts["/"].queues["q"].ready_count
        return spent


SHAPES = ("transient", "single-ack", "multiple-ack", "confirm", "priority", "fanout10", "ready", "backlog")


def measure(name: str, messages: int) -> float:
    """Microseconds per message (per copy for fanout10) of one round."""
    shape = Shape(name)
    shape.run(CHUNK * 4)
    seconds = shape.run(messages)
    if name == "backlog":
        seconds = shape.consume_backlog()
        messages += CHUNK * 4
    return seconds / messages * 1e6 / (10 if name == "fanout10" else 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shapes", nargs="*", default=SHAPES)
    parser.add_argument("-n", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for name in options.shapes:
        times = [measure(name, options.n) for _ in range(options.rounds)]
        print(f"{name:13s} {statistics.median(times):7.3f} us/message")


if __name__ == "__main__":
    main()
