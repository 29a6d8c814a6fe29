"""A simulated client: logs in, calls methods one after the other, and reacts to received methods."""

import random
from collections import deque
from collections.abc import Callable
from typing import Any

from amqpbroker.wire.values import Field, Table, encode_table, longstr
from tests.harness import Answers, Received, method
from tests.simulation.network import Connection
from tests.simulation.scheduler import MS
from tests.simulation.steps import Step
from tests.simulation.world import HASTY_NS, Connecting, World

#: Time that a client takes to read what has arrived.
READ_NS = (1_000, 5 * MS)
#: Pause before a client connects again.
RECONNECT_NS = (1 * MS, 500 * MS)

CAPABILITIES = ("consumer_cancel_notify", "authentication_failure_close", "basic.nack", "connection.blocked")
#: Bytes of the length of a table, which an AMQPLAIN response does not have.
LENGTH_BYTES = 4
#: Methods that notify a client of an alarm, and of its end.
BLOCKINGS = ("connection.blocked", "connection.unblocked")


class Client:
    """One client, which connects again when its connection ends, until `leave`.

    name: in the transcript. capabilities: announced capabilities. On each connection `opened` is called when channel 1
    is open, then `received` for each method that is not the answer to a call, and `disconnected` at its end. A subclass
    overrides them.
    """

    def __init__(self, world: World, name: str, heartbeat: int = 0) -> None:
        self.world = world
        self.name = name
        self.chance = world.chance(name)
        self.heartbeat = heartbeat
        self.capabilities: tuple[str, ...] = CAPABILITIES
        self.user = "guest"
        self.password = "guest"
        self.virtual_host = "/"
        self.open = False
        self.gone = False
        self._connection: Connection | None = None
        self._incarnation = 0
        self._answers = Answers()
        self._arrived: list[bytes] = []
        self._reading = True
        self._unsent = bytearray()
        #: Random numbers of its logins, so that they change nothing else.
        self._logins = world.chance(f"{name} logins")
        #: Number of updates of its secret that the broker has not answered.
        self._updates = 0
        self._calls: deque[tuple[frozenset[str], Callable[[Received], None]]] = deque()
        world.clients.append(self)

    # --- methods for a workload to override ---------------------------------------------------------------------------

    def opened(self) -> None:
        """Called when channel 1 is open."""

    def received(self, got: Received) -> None:
        """Called for a method that answers no call."""

    def cancelled(self, got: Received) -> None:
        """Called when the broker has cancelled a consumer. Starts again, as many clients do."""
        self.drop()

    def disconnected(self) -> None:
        """Called when the connection has ended."""

    def blocked(self, reason: str | None) -> None:
        """Called when the broker blocks publishers for a reason, and with None when it unblocks them."""

    # --- operations ---------------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Connect, now or when the broker is running again."""
        if self._connection is not None or self.gone:
            return
        self._incarnation += 1
        incarnation = self._incarnation
        self._begin_afresh()
        connection = self.world.connect(self)
        if connection is None:
            self._connect_later()
            return
        self._connection = connection
        connection.to_server.on_room = lambda: self._flush(incarnation)
        self.write(b"AMQP\0\0\x09\x01")
        self._expect(self._start, "connection.start")

    def call(self, then: Callable[[Received], None], answers: str, channel: int, name: str, **arguments: Any) -> None:
        """Send a method, and have `then` called with its answer: one of `answers`, which are divided by spaces."""
        self.write(method(name, channel, **arguments))
        self._expect(then, *answers.split())

    def declare_queue(self, then: Callable[[], None], name: str, arguments: Table | None = None) -> None:
        """Declare a durable queue on channel 1, and have `then` called when it is there."""
        answer, declare = "queue.declare-ok", "queue.declare"
        self.call(lambda _: then(), answer, 1, declare, queue=name, durable=True, arguments=arguments or {})

    def send(self, channel: int, name: str, **arguments: Any) -> None:
        """Send a method that has no answer."""
        self.write(method(name, channel, **arguments))

    def write(self, data: bytes) -> None:
        """Send bytes when the network has capacity for them."""
        self._unsent += data
        self._flush(self._incarnation)

    @property
    def unsent(self) -> int:
        """Number of bytes that the network has not accepted yet."""
        return len(self._unsent)

    def pause(self, duration: int) -> None:
        """Read nothing for that time."""
        self._reading = False
        self.world.scheduler.after(duration, self._resume)

    def drop(self) -> None:
        """Cut the connection."""
        if self._connection is not None:
            self._connection.cut()

    def hang_up(self) -> None:
        """Close the socket without connection.close: everything written arrives, then the end of the connection."""
        if self._connection is not None:
            self._connection.finish(bytes(self._unsent))

    def stall(self, upward: bool, duration: int) -> None:
        """Delay all bytes in one direction for that time."""
        if self._connection is not None:
            self._connection.stall(upward, duration)

    def leave(self) -> None:
        """End the connection, and do not connect again."""
        self.gone = True
        self.drop()

    # --- steps --------------------------------------------------------------------------------------------------------

    def do_drop(self) -> None:
        """Cut the connection."""
        self.drop()

    def do_hang_up(self) -> None:
        """Close the socket after the last write."""
        self.hang_up()

    def do_pause(self, duration_ms: int) -> None:
        """Read nothing for a while."""
        self.pause(duration_ms * MS)

    def do_stall(self, upward: bool, duration_ms: int) -> None:
        """Delay all bytes in one direction for a while."""
        self.stall(upward, duration_ms * MS)

    # --- callbacks of the network -------------------------------------------------------------------------------------

    def received_bytes(self, data: bytes) -> None:
        if not self._arrived:
            self._read_later()
        self._arrived.append(data)

    def ended(self) -> None:
        self._arrived.clear()
        connection, self._connection = self._connection, None
        if connection is None:
            return
        was_open, self.open = self.open, False
        self.world.note(self.name, "ended")
        if was_open:
            self.disconnected()
        if not self.gone:
            self._connect_later()

    # ----------------------------------------------------------------------------------------------------------------

    def _begin_afresh(self) -> None:
        """Reset the state of an earlier connection."""
        self._answers = Answers()
        self._arrived.clear()
        self._calls.clear()
        self._unsent = bytearray()
        self._updates = 0

    def _connect_later(self) -> None:
        self.world.scheduler.after(self.chance.randint(*(HASTY_NS if self.world.hasty else RECONNECT_NS)), self.connect)

    def _flush(self, incarnation: int) -> None:
        if self._connection is not None and incarnation == self._incarnation and self._unsent:
            pipe = self._connection.to_server
            sent = pipe.send(bytes(self._unsent[: pipe.room]))
            del self._unsent[:sent]

    def _expect(self, then: Callable[[Received], None], *answers: str) -> None:
        self._calls.append((frozenset(answers), then))

    def _read_later(self) -> None:
        incarnation = self._incarnation
        self.world.scheduler.after(self.chance.randint(*READ_NS), lambda: self._read(incarnation))

    def _resume(self) -> None:
        self._reading = True
        if self._arrived:
            self._read_later()

    def _read(self, incarnation: int) -> None:
        if incarnation != self._incarnation or self._connection is None or not self._reading or not self._arrived:
            return
        data = b"".join(self._arrived)
        self._arrived.clear()
        self._connection.to_client.consumed(len(data))
        self.world.hash_bytes(data)
        for got in self._answers.read(data):
            if self._connection is None or incarnation != self._incarnation:
                return
            self._act_on(got)

    def _act_on(self, got: Received) -> None:
        self.world.note_received(self.name, got)
        if self._calls and got.name in self._calls[0][0]:
            _, then = self._calls.popleft()
            then(got)
        elif got.name == "connection.close":
            self.world.closed_by_broker(self.name, got)
            self.send(0, "connection.close-ok")
        elif got.name == "channel.close":
            self.world.closed_by_broker(self.name, got)
            self.drop()
        elif got.name == "basic.cancel":
            self.cancelled(got)
        elif got.name == "connection.update-secret-ok" and self._updates:
            self._updates -= 1
        elif got.name in BLOCKINGS:
            self.blocked(got.arguments.get("reason"))
        else:
            self.received(got)

    # --- the handshake ------------------------------------------------------------------------------------------------

    def _start(self, _: Received) -> None:
        known: Table = {"capabilities": Field("F", {name: Field("t", True) for name in self.capabilities})}
        mechanism, response = "PLAIN", f"\0{self.user}\0{self.password}".encode()
        if self._logins.random() < 0.2:
            login: Table = {"LOGIN": longstr(self.user), "PASSWORD": longstr(self.password)}
            mechanism, response = "AMQPLAIN", encode_table(login)[LENGTH_BYTES:]
        self.send(
            0,
            "connection.start-ok",
            client_properties=known,
            mechanism=mechanism,
            response=response,
            locale="en_US",
        )
        self._expect(self._tune, "connection.tune")

    def _tune(self, _: Received) -> None:
        self.send(0, "connection.tune-ok", channel_max=2047, frame_max=131072, heartbeat=self.heartbeat)
        self.call(self._open, "connection.open-ok", 0, "connection.open", virtual_host=self.virtual_host)

    def _open(self, _: Received) -> None:
        self.call(self._opened, "channel.open-ok", 1, "channel.open")

    def _opened(self, _: Received) -> None:
        self.open = True
        if self._logins.random() < 0.2:
            self._updates += 1
            self.send(0, "connection.update-secret", new_secret=b"new", reason="expired")
        self.opened()


def is_shutdown(got: Received) -> bool:
    """Return whether the broker closes the connection because it stops."""
    return got.name == "connection.close" and "'shutdown'" in got.arguments["reply_text"]


class ClientEnd:
    """The client's end of one connection, for the network. Events of earlier connections are ignored."""

    def __init__(self, client: Connecting) -> None:
        self._client = client
        self._over = False

    def received(self, data: bytes) -> None:
        if not self._over:
            self._client.received_bytes(data)

    def ended(self) -> None:
        if not self._over:
            self._over = True
            self._client.ended()


def troubles(chance: random.Random, end_ms: int, clients: list[str]) -> list[Step]:
    """Return faults of the clients' connections."""
    ends = [
        Step(chance.randint(0, end_ms), chance.choice(clients), chance.choice(("drop", "hang_up")))
        for _ in range(chance.choice((0, 1, 5)))
    ]
    pauses = [
        Step(chance.randint(0, end_ms), chance.choice(clients), "pause", (chance.choice((50, 2000)),))
        for _ in range(chance.choice((0, 1, 3)))
    ]
    stalls = [
        Step(
            chance.randint(0, end_ms),
            chance.choice(clients),
            "stall",
            (chance.random() < 0.5, chance.choice((50, 2000))),
        )
        for _ in range(chance.choice((0, 1, 3)))
    ]
    return [*ends, *pauses, *stalls]
