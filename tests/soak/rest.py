"""Checks after each phase of a soak: the broker serves a new client, and is at rest."""

import time
from collections.abc import Iterator
from fnmatch import fnmatchcase

from amqpbroker.broker.tracking.expiries import SLACK
from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.wire.values import Field, longstr
from tests.harness import published
from tests.load.client import request
from tests.load.memory import MB, peak_bytes, resident_bytes
from tests.soak.client import DELIVER, Settled, SoakClient, delivery_tag
from tests.soak.management import Management

#: Maximum seconds that a new client may need for `try_everything`.
EVERYTHING_S = 1.0
#: Maximum seconds until the broker is at rest.
REST_S = 12.0
#: Seconds without a change after which the broker counts as being at rest, and the maximum of such waits at the start.
#: The broker takes samples four times a second.
SETTLE_S, SETTLINGS = 3.0, 20
#: Maximum memory of a broker at rest, as a multiple of its former memory.
GROWTH = 1.10
#: Additional memory that a broker with lowered bounds may retain. It has had no peak before, and Python cannot return a
#: mebibyte in which a single object is alive.
FRAGMENTS_BYTES = 16_000_000

#: Bytes by which the heap of the C library may grow in addition.
HEAP_BYTES = 2_000_000

#: Names in the census: the memory blocks of Python objects, and the bytes allocated by the C library.
BLOCKS = "allocated blocks"
HEAP = "bytes of heap"
#: Lengths of the arrays of entries of the journal, which grow with each segment up to their bounds (see `remembered`),
#: and the bytes that each item takes from the heap.
LIVING, LIVING_BYTES = ("LiveEntries._offsets[]", "LiveEntries._sizes[]"), 4
#: Names in the census: resources of the operating system and the event loop, and the timers that are not cancelled.
FILES = "open files"
THREADS = "threads"
TASKS = "tasks"
TIMERS = "timers to fire"

#: Number of cancelled timers that a heap with few timers may retain.
CANCELLED = 20

#: Totals in the census that are compared as a difference: the value of the second name, which does not exceed the
#: first one's at rest, is taken from the first.
BALANCES = {
    "Churn.connection_created": "Churn.connection_closed",
    "Churn.channel_created": "Churn.channel_closed",
    "Churn.queue_created": "Churn.queue_deleted",
    # The number of the next operations, and the last written number.
    "Persistence._number": "Persistence.synced",
}

#: Integers in the census that do not return to their former values, as patterns: totals since the start, assigned
#: numbers, times, and read sizes.
COUNT_UP = (
    "Churn.queue_declared",
    "Death.*",
    "Deaths.*",
    "Compaction.*",
    "DirectReplies._opened",
    "AuthAttempts.*",
    "BatchRecords._last",
    "JobRecords._last",
    "BrokerTotals.deduplicated_by_*",
    "BrokerTotals.replaced",
    "BrokerTotals.redriven",
    "BrokerTotals.redrives",
    "BrokerTotals.not_redriven",
    "Exchange._published_*",
    "Vhost.route_epoch",
    "Sample.*",
    "DeadLetterBuilder.time_s",
    "DeferredFree._used_ms",
    "DeadLetters.runs",
    # The broker's counts of dead letters: a row for each kind of queue, strategy and reason that occurred.
    "Ledger._letter_counts[]",
    "GroupDispatcher._run",
    "GroupDispatcher._returned",
    "History.*",
    "Rates._started_ms",
    "Reading._asked_ms",
    "Reading._share",
    "Pace.*",
    "MemoryMonitor.*",
    "_Record.*_ms",
    "_Record.count",
    "SystemClock.turn_ms",
    "SystemClock._sequence",
    "SystemClock._cancelled",
    "Timer.due_ms",
    "Timers._due_ms",
    "Persistence._safe_position",
    "Persistence.stored",
    "Persistence.loaded",
    "Encoder._next",
    # Position of the last written batch.
    "Groups.position",
    "Groups.size_bytes",
    "Journal.newest",
    "Journal.oldest",
    "Journal.batches",
    "Journal.durable",
    "LiveEntries._next",
    "Segment.descriptor",
    "Segment.number",
    "Segment.size",
    "SpillFiles._last",
    "SqliteDefinitions.last_id",
    "ServerState.total_requests",
)

#: Bounds that are always lowered, with their divisors: twice their values would need too much memory or time. A channel
#: caches one in eight of the routing keys that it uses.
LOWERED = {"group_bytes": 16, "entries": 20, "routes": 8, "all_routes": 8, "batch_members": 10}
#: Bounds that are never lowered: the prefetch of a shovel would not be reached.
WHOLE = ("shovel_bytes",)


def lowered(divisor: int) -> Bounds:
    """Return the broker's bounds, divided by the divisor."""
    return Bounds(
        **{
            name: value if name in WHOLE else max(4, value // (divisor * LOWERED.get(name, 1)))
            for name, value in BOUNDS._asdict().items()
        }
    )


def handshake_ms(divisor: int) -> int:
    """Return the time limit for a TLS handshake, which is shorter if the bounds are lowered."""
    return 10_000 if divisor == 1 else 2_000


def remembered(bounds: Bounds) -> dict[str, int]:
    """Return the containers that retain entries on purpose, as patterns of names in the census, with their bounds."""
    return {
        # Counters of the broker and of its vhost, with 601 samples.
        "History._numbers[[]]": 64 * 601,
        # Two spare segments and the open one; a message takes at least 41 bytes.
        "LiveEntries._*s[[]]": 3 * bounds.segment_bytes // 41,
        "Segment": 3,
        # Threads of the broker and of executors, which start one for a job until they have their maximum.
        "threads": 12,
        "amqpbroker.broker.counters.rates._zeros[[]]": 128,
        # Short properties.
        "amqpbroker.broker.publishing.inspection.KNOWN[[]]": 4096,
        # Groups of counters, by kind of counted object.
        "amqpbroker.broker.counters.stats._groups_among[[]]": 8,
        # Topics for which a user is known to have permission.
        "Permissions._allowed[[]]": bounds.permissions,
        # Failed logins by user and address, with some passwords each.
        "LoginGuard._records[[]]": bounds.guesses,
        "_Record": bounds.guesses,
        "_Record.wrong[[]]": 10 * bounds.guesses,
        "Sessions._sessions[[]]": bounds.sessions,
        # Up to twice as many as there are ended batches and jobs, and some more for each of both.
        "Expiries._heap[[]]": 2 * (bounds.batches + bounds.jobs + SLACK),
        # Kinds of queue and dead-letter reasons.
        "BrokerTotals.dead_letters[[]]": 3 * 4,
    }


def try_everything(port: int, management: Management) -> float:
    """Send a message from a new client by every method, and consume all; return the duration in seconds."""
    started = time.monotonic()
    with SoakClient(port) as client:
        names = ("soak-durable", "soak-quorum", "soak-transient", "soak-wait", "soak-dead")
        dead = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("soak-dead")}
        client.declare("soak-durable", durable=True)
        client.declare("soak-quorum", durable=True, arguments={"x-queue-type": longstr("quorum")})
        client.declare("soak-transient", exclusive=True)
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
        settled = Settled()
        sent = 0
        for mode in (1, 2):
            for name in names[:-1]:
                client.send(published(name, b"soak", delivery_mode=mode))
                sent += 1
            client.send(
                published("soak-durable", b"soak", "soak-late", delivery_mode=mode, headers={"x-delay": Field("I", 1)})
            )
            sent += 1
        to_confirm = sent
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
            if ids == DELIVER:
                return request("basic.ack", delivery_tag=delivery_tag(payload))
            return settled.on_method(ids, payload)

        def is_done() -> bool:
            return client.seen["basic.deliver"] >= sent and settled.tag == to_confirm

        client.pump((), is_done, settle)
        assert not settled.refused, f"{settled.refused} of {to_confirm} publishes were refused"
        for name in names:
            client.send(request("queue.delete", queue=name))
        client.pump([request("exchange.delete", exchange="soak-late")], lambda: client.seen["exchange.delete-ok"] == 1)
        client.close()
    return time.monotonic() - started


class Rest:
    """Comparison of the broker with its former state."""

    def __init__(self, pid: int, management: Management, divisor: int) -> None:
        """divisor: divides the broker's bounds."""
        self._pid = pid
        self._management = management
        self._remembered = remembered(lowered(divisor))
        self._fragments_bytes = 0 if divisor == 1 else FRAGMENTS_BYTES
        self._before: dict[str, int] = {}
        self._memory = 0

    def remember(self) -> None:
        """Wait until nothing in the broker changes any more, and record its state as the expected one."""
        now = self._census()
        for _ in range(SETTLINGS):
            time.sleep(SETTLE_S)
            self._before, now = now, self._census()
            if not [*grown(self._before, now, self._remembered), *grown(now, self._before, self._remembered)]:
                break
        self._before = now
        self._memory = resident_bytes(self._pid)

    def differences(self) -> list[str]:
        """Return the differences from the recorded state, one string each; waits up to REST_S for rest."""
        until = time.monotonic() + REST_S
        while (found := list(self._found())) and time.monotonic() < until:
            time.sleep(0.1)
        return found

    def _census(self) -> dict[str, int]:
        found: dict[str, int] = self._management.call("GET", "/soak")
        return balanced(found)

    def _found(self) -> Iterator[str]:
        yield from grown(self._before, self._census(), self._remembered)
        memory, most = resident_bytes(self._pid), peak_bytes(self._pid)
        if memory > self._memory * GROWTH + self._fragments_bytes:
            now, before, top = memory / MB, self._memory / MB, most / MB
            yield f"memory was {before:.1f} MB and is {now:.1f} MB; at most it was {top:.1f} MB"


def grown(before: dict[str, int], now: dict[str, int], remembered: dict[str, int]) -> Iterator[str]:
    """Yield unexpected growth between two balanced censuses. remembered: as `remembered` returns."""
    for name, value in sorted(now.items()):
        former = before.get(name, 0)
        bound = _bound(name, former, remembered)
        if bound is not None:
            if value > bound:
                yield f"{name} was {former} and is {value}, more than its bound of {bound}"
        elif (value > former or (value != former and _is_integer(name))) and not any(
            fnmatchcase(name, pattern) for pattern in COUNT_UP
        ):
            yield f"{name} was {former} and is {value}"


def _bound(name: str, before: int, remembered: dict[str, int]) -> int | None:
    """Return the highest allowed value of a name that may grow, or None if it may not."""
    if name == BLOCKS:
        return int(before * GROWTH)
    if name == HEAP:
        return int(before * GROWTH) + HEAP_BYTES
    if name == "Timer" or fnmatchcase(name, "*Clock._heap[[]]"):
        return before + CANCELLED
    return next((bound for pattern, bound in remembered.items() if fnmatchcase(name, pattern)), None)


def balanced(found: dict[str, int]) -> dict[str, int]:
    """Return the census with differences in place of totals that grow alike.

    The heap is counted without the arrays of the journal: its size would depend on the age of the open segment.
    """
    balances = {name: found[name] - found[less] for name, less in BALANCES.items() if name in found}
    # Fewer operations are appended than written if the former does not count some written entries.
    behind = max(0, found.get("Persistence.appended", 0) - found.get("Persistence.synced", 0))
    rest = {name: value for name, value in found.items() if name not in BALANCES.values()}
    if HEAP in rest:
        rest[HEAP] -= LIVING_BYTES * sum(found.get(name, 0) for name in LIVING)
    return rest | balances | {"Persistence.appended": behind}


def _is_integer(name: str) -> bool:
    """Return whether the value is an integer attribute, not a length or a number of objects of a class."""
    return ("." in name and not name.endswith("[]")) or name == TIMERS
