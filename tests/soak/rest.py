"""What a broker has to be like after each phase of a soak: ready for a new client, and at rest."""

import dataclasses
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase

from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.wire.values import Field, longstr
from tests.harness import published
from tests.load.client import request
from tests.load.memory import MB, peak_bytes, resident_bytes
from tests.soak.client import DELIVER, SoakClient
from tests.soak.management import Management

#: How long a new client may take for all that `try_everything` does, in seconds.
EVERYTHING_S = 1.0
#: How long the broker gets until it is at rest, in seconds.
REST_S = 12.0
#: How much memory a broker at rest may have in use, as a multiple of what it had before.
GROWTH = 1.10
#: How much more memory the process may have than before, as a share of the most that it ever had. Python cannot return
#: the free space between objects that live on, so that this differs from run to run.
UNRETURNED = 0.20

#: Names in the census: the pieces of memory that Python objects take, and the bytes that the C library gave out.
BLOCKS = "allocated blocks"
HEAP = "bytes of heap"

#: Integers in the census that do not come back, as patterns: sums since the start, numbers that are given out, times.
COUNT_UP = (
    "Churn.*",
    "Death.*",
    "Deaths.*",
    "Compaction.*",
    "DirectReplies._opened",
    "AuthAttempts.*",
    "Exchange._published_*",
    "Vhost.route_epoch",
    "Sample.*",
    "Rates._started_ms",
    "MemoryMonitor.*",
    "SystemClock.turn_ms",
    "SystemClock._sequence",
    "SystemClock._cancelled",
    "Timer.due_ms",
    "Timers._due_ms",
    "Persistence._number",
    "Persistence.appended",
    "Persistence.synced",
    "Persistence.safe_position",
    "Persistence.stored",
    "Persistence.loaded",
    "Encoder._next",
    "Groups.position",
    "Groups.start",
    "Journal.batches",
    "Living._next",
    "Segment.descriptor",
    "Segment.number",
    "Segment.size",
    "SqliteDefinitions._changes",
    "SqliteDefinitions.last_id",
)


def lowered(divisor: int) -> Bounds:
    """Return bounds that are so many times lower than the broker's own."""
    return Bounds(**{name: max(4, value // divisor) for name, value in dataclasses.asdict(BOUNDS).items()})


def remembered(bounds: Bounds) -> dict[str, int]:
    """Return the containers that remember things on purpose, as patterns of names in the census, with their bounds."""
    return {
        # Counts of the whole broker, one sample every five seconds.
        "Rates._history[[]]": 32 * 601,
        # Two spare segments and the open one; a message takes at least 41 bytes.
        "Living._o*s[[]]": 3 * bounds.segment_bytes // 41,
        "Segment": 3,
        "amqpbroker.broker.rates._zeros[[]]": 128,
        # Records of first deaths.
        "amqpbroker.broker.deadletter._ALIKE[[]]": 1024,
        "Death": 1024,
        "Deaths": 1024,
        # Topics that a user was seen to be permitted.
        "Permissions._allowed[[]]": 1024,
        # Failed logins: by user and address, with some passwords each.
        "LoginGuard._records[[]]": bounds.guesses,
        "_Record": bounds.guesses,
        "_Record.*": 10 * bounds.guesses,
        # Kinds of queue and reasons of dead letters.
        "BrokerTotals.dead_letters[[]]": 3 * 4,
        # A cancelled timer stays until it is due, while such timers are fewer than the others or few.
        "*Clock._heap[[]]": 200,
        "Timer": 200,
    }


def try_everything(port: int, management: Management) -> float:
    """Send a message each way there is from a new client, and take all; returns how long that took, in seconds."""
    started = time.monotonic()
    with SoakClient(port) as client:
        names = ("soak-durable", "soak-quorum", "soak-transient", "soak-wait", "soak-dead")
        dead = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("soak-dead")}
        client.declare("soak-durable", durable=True)
        client.declare("soak-quorum", durable=True, arguments={"x-queue-type": longstr("quorum")})
        client.declare("soak-transient")
        client.declare("soak-wait", durable=True, arguments={**dead, "x-message-ttl": Field("I", 1)})
        client.declare("soak-dead", durable=True)
        late = {"x-delayed-type": longstr("direct")}
        client.call(
            "exchange.declare",
            "exchange.declare-ok",
            exchange="soak-late",
            exchange_type="x-delayed-message",
            durable=True,
            arguments=late,
        )
        client.call(
            "queue.bind", "queue.bind-ok", queue="soak-durable", exchange="soak-late", routing_key="soak-durable"
        )
        client.call("confirm.select", "confirm.select-ok")
        sent = 0
        for mode in (1, 2):
            for name in names[:-1]:
                client.send(published(name, b"soak", delivery_mode=mode))
                sent += 1
            client.send(
                published("soak-durable", b"soak", "soak-late", delivery_mode=mode, headers={"x-delay": Field("I", 1)})
            )
            sent += 1
        client.send(request("channel.open", 2) + request("tx.select", 2))
        client.send(published("soak-durable", b"soak", channel=2, delivery_mode=2) + request("tx.commit", 2))
        sent += 1
        management.call(
            "POST",
            "/exchanges/%2F/amq.default/publish",
            {"properties": {}, "routing_key": "soak-durable", "payload": "soak", "payload_encoding": "string"},
        )
        sent += 1
        for name in names:
            client.send(request("basic.consume", queue=name, consumer_tag=name))

        def settle(ids: int, payload: bytes) -> bytes:
            if ids != DELIVER:
                return b""
            start = 5 + payload[4]
            return request("basic.ack", delivery_tag=int.from_bytes(payload[start : start + 8], "big"))

        client.pump((), lambda: client.seen["basic.deliver"] >= sent, settle)
        for name in names:
            client.send(request("queue.delete", queue=name))
        client.pump([request("exchange.delete", exchange="soak-late")], lambda: client.seen["exchange.delete-ok"] == 1)
        client.close()
    return time.monotonic() - started


class Rest:
    """Compares the broker with what it was like before."""

    def __init__(self, pid: int, management: Management, bounds: Bounds) -> None:
        self._pid = pid
        self._management = management
        self._remembered = remembered(bounds)
        self._before: dict[str, int] = {}
        self._memory = 0

    def remember(self) -> None:
        """Take the broker as it is now for what it has to be like."""
        self._before = self._management.call("GET", "/soak")
        self._memory = resident_bytes(self._pid)

    def differences(self) -> list[str]:
        """What is not at rest, a line each; waits as long as a broker may need."""
        until = time.monotonic() + REST_S
        while (found := list(self._found())) and time.monotonic() < until:
            time.sleep(0.5)
        return found

    def _found(self) -> Iterator[str]:
        now = self._management.call("GET", "/soak")
        for name, value in sorted(now.items()):
            before = self._before.get(name, 0)
            if name in (BLOCKS, HEAP):
                if value > before * GROWTH if name == BLOCKS else value > before + (GROWTH - 1) * self._memory:
                    yield f"{name}: {before} before and {value} now"
                continue
            bound = next((bound for pattern, bound in self._remembered.items() if fnmatchcase(name, pattern)), None)
            if bound is not None:
                if value > bound:
                    yield f"{name} has {value}, more than its bound of {bound}"
            elif (value > before or (value != before and _is_integer(name))) and not any(
                fnmatchcase(name, pattern) for pattern in COUNT_UP
            ):
                yield f"{name} was {before} and is {value}"
        memory, most = resident_bytes(self._pid), peak_bytes(self._pid)
        if memory > self._memory + UNRETURNED * most:
            now, before, top = memory / MB, self._memory / MB, most / MB
            yield f"memory was {before:.1f} MB and is {now:.1f} MB; at most it was {top:.1f} MB"


def _is_integer(name: str) -> bool:
    """Whether it is no length, and no number of objects of a class."""
    return "." in name and not name.endswith("[]")
