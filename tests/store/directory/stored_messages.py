"""A data directory with stored messages of every kind, as a killed process leaves it, and its expected contents.

usage: python -m tests.store.directory.stored_messages ARCHIVE

Run it with the code of a release to make the archive that `test_earlier_release` opens with the current code.
"""

import json
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.server import data
from amqpbroker.store.committer import InlineCommitter
from amqpbroker.store.spill import SpillFiles
from amqpbroker.wire.values import Field, longstr
from tests.harness import Wire

#: The wall clock when the directory is made, and when it is opened.
START_MS = 1_800_000_000_000
OPENED_MS = START_MS + 2_000

#: So small that messages fill several segments, and that some of them are rewritten.
SEGMENT_BYTES = 24_000

STATE = "state.json"


@contextmanager
def opened(directory: Path, clock: ManualClock) -> Iterator[tuple[Broker, data.Data]]:
    bounds = BOUNDS._replace(segment_bytes=SEGMENT_BYTES)
    config = Config(data_dir=str(directory), bounds=bounds)
    with data.opened(config) as kept:
        store = kept.store(InlineCommitter, clock, _fail)
        broker = Broker(config, clock, store, kept.definitions, kept.spill)
        broker.storage.recover(kept.found)
        broker.sync()
        yield broker, kept


def _fail(error: Exception) -> None:
    raise AssertionError("the journal cannot be written") from error


# --- make -------------------------------------------------------------------------------------------------------------


class Filler:
    """Publishes and consumes messages that cover every kind of record, queue and message."""

    def __init__(self, broker: Broker, clock: ManualClock) -> None:
        self.broker = broker
        self.clock = clock
        self.publisher = Wire(broker).log_in()
        self.publisher.call(1, "confirm.select")
        self.consumer = Wire(broker).log_in()

    def declare(self, name: str, **arguments: Field) -> None:
        named = {"x-" + key.replace("_", "-"): value for key, value in arguments.items()}
        self.publisher.declare(name, durable=True, arguments=named)

    def publish(self, key: str, *texts: str, exchange: str = "", **properties: Any) -> None:
        for text in texts:
            self.publisher.publish(key, text.encode(), exchange, **{"delivery_mode": 2, **properties})

    def turn(self) -> None:
        self.publisher.turn()

    def get(self, queue: str, count: int) -> list[int]:
        """Get messages and leave them unacknowledged; return their delivery tags."""
        got = [self.consumer.get(queue, no_ack=False) for _ in range(count)]
        return [one.arguments["delivery_tag"] for one in got]

    def answer(self, method: str, tags: list[int], **arguments: Any) -> None:
        for tag in tags:
            self.consumer.send(1, method, delivery_tag=tag, **arguments)
        self.consumer.turn()

    def fill(self) -> None:
        letters = {"dead_letter_exchange": longstr(""), "dead_letter_routing_key": longstr("dead")}
        self.declare("classic")
        self.declare("priority", max_priority=Field("I", 5))
        self.declare("quorum", queue_type=longstr("quorum"))
        self.declare("rejected", **letters)
        self.declare("expired", message_ttl=Field("I", 1000), **letters)
        for name in ("dead", "deep", "spilled", "copied", "released", "fan.a", "fan.b", "fan.c"):
            self.declare(name)
        for name in ("fan.a", "fan.b", "fan.c"):
            self.publisher.call(1, "queue.bind", queue=name, exchange="amq.fanout")
        self._deep()
        self._classic()
        self._priority()
        self._quorum()
        self._dead_letters()
        self._fanout()
        self._delayed()
        self._copied()
        self._spilled()

    def _deep(self) -> None:
        """Make segments with few live copies, so that these are rewritten."""
        self.publish("deep", *[f"deep {number}" for number in range(900)])
        self.turn()
        tags = self.get("deep", 860)
        self.answer("basic.ack", [tag for number, tag in enumerate(tags) if number % 90])
        self.turn()

    def _classic(self) -> None:
        """Deliver three messages before they are written and one later, and acknowledge one."""
        client = Wire(self.broker).log_in()
        client.call(1, "basic.qos", prefetch_count=3)
        client.consume("classic", no_ack=False)
        self.publish("classic", *[f"classic {number}" for number in range(6)])
        self.turn()
        client.turn()
        self.get("classic", 1)
        client.send(1, "basic.ack", delivery_tag=1)
        client.turn()
        client.call(1, "tx.select")
        for number in range(2):
            client.publish("classic", b"transaction %d" % number, delivery_mode=2)
        client.call(1, "tx.commit")

    def _priority(self) -> None:
        for text, priority in (("low", 1), ("high", 4), ("highest", 9)):
            self.publish("priority", text, priority=priority)
        self.publish("priority", "none")
        self.turn()
        self.get("priority", 1)

    def _quorum(self) -> None:
        self.publish("quorum", "transient 0", "transient 1", delivery_mode=1)
        self.publish("quorum", "urgent", priority=7)
        self.publish("quorum", "persistent")
        self.turn()
        for _ in range(2):
            self.answer("basic.nack", self.get("quorum", 2), requeue=True)
        self.get("quorum", 1)

    def _dead_letters(self) -> None:
        self.publish("rejected", "rejected", headers={"k": Field("l", 7)})
        self.publish("rejected", "rejected too", "not rejected")
        self.publish("expired", "expired")
        self.turn()
        self.answer("basic.reject", self.get("rejected", 2), requeue=False)
        self.clock.advance(OPENED_MS - START_MS)
        self.publish("expired", "not expired", expiration="500")
        self.turn()

    def _fanout(self) -> None:
        client = Wire(self.broker).log_in()
        client.consume("fan.a", no_ack=False)
        self.publish("", "to all", exchange="amq.fanout")
        self.turn()
        client.turn()

    def _delayed(self) -> None:
        self.publisher.call(
            1,
            "exchange.declare",
            exchange="later",
            exchange_type="x-delayed-message",
            durable=True,
            arguments={"x-delayed-type": longstr("direct")},
        )
        self.publisher.call(1, "queue.bind", queue="released", exchange="later", routing_key="r")
        for seconds in (60, 30, 90):
            headers = {"x-delay": Field("I", seconds * 1000)}
            self.publish("r", f"after {seconds} s", exchange="later", headers=headers)
        self.turn()

    def _copied(self) -> None:
        keys = [longstr("released"), longstr("k" * 200)]
        self.publish("copied", "copies", headers={"CC": Field("A", keys), "BCC": Field("A", [longstr("dead")])})
        self.publish("copied", "large " * 5_000)
        self.turn()

    def _spilled(self) -> None:
        """Spill transient messages while memory is low; the spill file does not outlive the process."""
        spill = self.broker.vhosts["/"].spill
        assert isinstance(spill, SpillFiles)
        self.publish("spilled", *[f"transient {number}" for number in range(300)], delivery_mode=1)
        self.publish("spilled", *[f"stored {number}" for number in range(100)])
        self.turn()
        spill.need(True)
        queue = self.broker.vhosts["/"].queues["spilled"]
        while queue.page_out():
            pass
        assert list(spill.directory.iterdir())


def make(directory: Path) -> None:
    """Make the directory as a killed process leaves it."""
    clock = ManualClock(START_MS)
    with tempfile.TemporaryDirectory() as made, opened(Path(made), clock) as (broker, kept):
        Filler(broker, clock).fill()
        kept.definitions.sync()
        shutil.copytree(made, directory)


# --- read -------------------------------------------------------------------------------------------------------------


def state(directory: Path) -> dict[str, Any]:
    """Open the directory, and return the contents of every queue: now, after one minute and after two."""
    clock = ManualClock(OPENED_MS)
    with opened(directory, clock) as (broker, _):
        found = {"found": _counts(broker), "now": _messages(broker)}
        for name in ("in a minute", "in two"):
            clock.advance(60_000)
            broker.sync()
            found[name] = _messages(broker)
    return found


def _counts(broker: Broker) -> dict[str, list[int]]:
    counts = {}
    for name, queue in broker.vhosts["/"].queues.items():
        assert isinstance(queue, LocalQueue)
        counts[name] = [queue.ready_count, queue.ready.size, queue.unacked_count, queue.counters()[-3]]
    return counts


def _messages(broker: Broker) -> dict[str, list[list[Any]]]:
    """Get all messages from all queues: their bodies, whether they are redelivered, and their properties."""
    client = Wire(broker).log_in()
    found: dict[str, list[list[Any]]] = {}
    for name in broker.vhosts["/"].queues:
        messages = found[name] = []
        while (got := client.get(name)).name == "basic.get-ok":
            assert got.body is not None
            told = [got.arguments["redelivered"], got.arguments["exchange"], repr(got.arguments["routing_key"])]
            body = got.body.decode()
            messages.append([body if len(body) < 100 else f"{body[:20]}, {len(body)} bytes", *told, _shown(got)])
    return found


def _shown(got: Any) -> str:
    return repr(sorted(got.properties.items()))


def main(archive: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name, "data")
        make(directory)
        with tarfile.open(archive, "w:xz") as packed:
            packed.add(directory, "data")
            found = Path(name, STATE)
            found.write_text(json.dumps(state(directory), indent=1))
            packed.add(found, STATE)


if __name__ == "__main__":
    main(*sys.argv[1:])
