"""Parts of queue tests: a vhost, queues, messages to publish, and subscribers that consume them."""

from typing import Any

from amqpbroker.broker.infos import ConsumerInfo
from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.queues.streams.queue import StreamQueue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.clock import ManualClock, SystemClock
from amqpbroker.message.message import Message, encode_address
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, Table, longstr
from tests.broker.death_tables import deaths_of
from tests.harness import make_broker

UNLIMITED = 1 << 30


def make_vhost() -> Vhost:
    """Return the vhost "/" of a new broker, on a ManualClock."""
    return make_broker().vhosts["/"]


class Ticking:
    """A broker's clock, of a machine on which a millisecond passes whenever its time is read."""

    def __init__(self) -> None:
        self._now_ns = 1_700_000_000_000_000_000
        self._tick_ns = 0
        self.clock = SystemClock(self._read, self._read)
        self._tick_ns = 1_000_000

    def _read(self) -> int:
        self._now_ns += self._tick_ns
        return self._now_ns

    def advance(self, delta_ms: int) -> None:
        self._now_ns += delta_ms * 1_000_000
        self.clock.fire_due()


def clock_of(vhost: Vhost) -> ManualClock:
    assert isinstance(vhost.clock, ManualClock)
    return vhost.clock


def table(**arguments: Any) -> Table:
    """Return queue arguments of Python values: `table(max_length=3)` is x-max-length, a signedint."""

    def field(value: Any) -> Field:
        if isinstance(value, bool):
            return Field("t", value)
        return Field("l", value) if isinstance(value, int) else longstr(value)

    return {"x-" + name.replace("_", "-"): field(value) for name, value in arguments.items()}


def declare(
    vhost: Vhost, name: str = "q", auto_delete: bool = False, session: object | None = None, **arguments: Any
) -> LocalQueue:
    """Declare a queue with these x- arguments; a session makes it exclusive to itself."""
    durable = arguments.pop("durable", False) or arguments.get("queue_type") == "quorum"
    queue = vhost.declare_queue(name, durable, session is not None, auto_delete, table(**arguments), session)
    assert isinstance(queue, LocalQueue)
    return queue


def declare_stream(vhost: Vhost, name: str = "q", **arguments: Any) -> StreamQueue:
    """Declare a stream with these x- arguments."""
    stream = vhost.declare_queue(name, True, False, False, table(queue_type="stream", **arguments))
    assert isinstance(stream, StreamQueue)
    return stream


def message(body: bytes = b"", routing_key: str = "q", priority: int = 0, expiration_ms: int = -1) -> Message:
    properties: dict[str, Any] = {}
    if priority:
        properties["priority"] = priority
    if expiration_ms >= 0:
        properties["expiration"] = b"%d" % expiration_ms
    made = Message(encode_address("", routing_key.encode()), encode_properties(properties), body)
    made.priority = priority
    made.expiration_ms = expiration_ms
    return made


def publish(queue: Queue, *bodies: bytes, priority: int = 0, expiration_ms: int = -1) -> None:
    for body in bodies:
        assert queue.publish(message(body, queue.name, priority, expiration_ms))


def ready(queue: LocalQueue) -> list[bytes]:
    """Return the bodies of waiting messages, head first."""
    return [entry.message.body for entry in queue.ready]


class Subscriber(Consumer):
    """Takes up to `limit` unacknowledged messages. got: (body, redelivered) as delivered. held: unsettled messages."""

    def __init__(self, queue: Queue, tag: str = "c", limit: int = UNLIMITED, **options: Any) -> None:
        super().__init__(queue, tag, **options)
        self.limit = limit
        self.got: list[tuple[bytes, bool]] = []
        self.held: list[Entry] = []
        self.told_cancelled = 0

    def subscribe(self) -> "Subscriber":
        self.queue.add_consumer(self)
        self.queue.offer(self)
        return self

    def can_take(self) -> bool:
        return self.unacked < self.limit

    def has_one_left(self) -> bool:
        return self.unacked + 1 >= self.limit

    def deliver(self, entry: Entry) -> None:
        entry.consumer = self
        self.held.append(entry)
        self.got.append((entry.message.body, entry.redelivered))

    def hand(self, message: Message, acquired_count: int, delivery_count: int) -> None:
        self.got.append((message.body, acquired_count > 0))

    def info(self, active: bool, activity_status: str) -> ConsumerInfo:
        return ConsumerInfo(
            queue=self.queue.name,
            vhost="/",
            consumer_tag=self.tag,
            ack_required=not self.no_ack,
            exclusive=self.exclusive,
            prefetch_count=self.limit,
            active=active,
            activity_status=activity_status,
            arguments=self.arguments,
            consumer_timeout=0,
            connection_name="",
            channel_name="",
            channel_number=0,
            peer_host="",
            peer_port=0,
            user="guest",
        )

    def cancelled(self) -> None:
        self.told_cancelled += 1

    # --- operations of its client -------------------------------------------------------------------------------------

    @property
    def bodies(self) -> list[bytes]:
        return [body for body, _ in self.got]

    def take(self) -> list[bytes]:
        """Return the bodies that arrived since the last call."""
        taken, self.got = self.bodies, []
        return taken

    def ack(self, count: int = 1) -> None:
        for _ in range(count):
            self.queue.ack(self.held.pop(0))

    def ack_all(self, count: int = 1) -> None:
        taken, self.held = self.held[:count], self.held[count:]
        self.queue.ack_all(taken)

    def reject(self, count: int = 1) -> None:
        taken, self.held = self.held[:count], self.held[count:]
        self.queue.reject(taken)

    def requeue(self, count: int = 1) -> None:
        taken, self.held = self.held[:count], self.held[count:]
        self.queue.requeue(taken)

    def relimit(self, limit: int) -> None:
        self.limit = limit
        self.queue.offer(self)

    def cancel(self) -> None:
        self.queue.remove_consumer(self)


def with_graves(vhost: Vhost, **arguments: object) -> tuple[LocalQueue, LocalQueue]:
    """Return a queue "q" and the queue "grave" that gets its dead letters."""
    grave = declare(vhost, "grave")
    arguments = {"dead_letter_exchange": "", "dead_letter_routing_key": "grave", **arguments}
    return declare(vhost, "q", **arguments), grave


def reasons(grave: LocalQueue) -> list[tuple[bytes, str]]:
    return [(entry.message.body, deaths_of(entry.message)[0].reason) for entry in grave.ready]


def get(queue: LocalQueue, no_ack: bool = False) -> Entry:
    entry = queue.get(no_ack)
    assert entry is not None
    return entry
