"""Misbehaving clients: garbage, broken frames, unfinished handshakes, silence. No other client may be affected."""

import random
import struct
from collections.abc import Callable
from functools import partial
from typing import Any

from amqpbroker.amqp.state import CLOSING_TIMEOUT_MS, SILENT_CLOSE_DELAY_MS
from amqpbroker.server.ending import LINGER_MS
from amqpbroker.wire.frames import BODY, HEADER, HEARTBEAT, METHOD, frame
from amqpbroker.wire.methods import NotUtf8Error
from amqpbroker.wire.values import Field, longstr
from tests.harness import Received, method, published
from tests.simulation.client import CAPABILITIES, Client, is_shutdown
from tests.simulation.parts import connections
from tests.simulation.patience import Deadlines
from tests.simulation.scheduler import MS, SECOND
from tests.simulation.steps import Step, Workload
from tests.simulation.world import World

PROTOCOL_HEADER = b"AMQP\0\0\x09\x01"
#: Tolerance of the broker's timers.
LATE_NS = 2 * SECOND
HEARTBEAT_S = 2
#: Bytes around the payload of a frame.
FRAME_BYTES = 8
ABILITIES = Field("F", {name: Field("t", True) for name in CAPABILITIES})
#: Codes that may answer a client's mistakes; 541 is a fault of the broker.
REFUSALS = (311, 312, 313, 320, 402, 403, 404, 405, 406, 501, 502, 503, 504, 505, 506, 530, 540)


class Strangers(Workload):
    """Clients that log in and make one mistake, and clients that send anything."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.deadlines = Deadlines(world)
        self.strangers = [Stranger(world, f"{name}s{i}", self.deadlines) for i in range(plan["strangers"])]

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {"strangers": chance.choice((1, 3, 20))}

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        strangers = [f"{name}s{i}" for i in range(settings["strangers"])]
        steps = [
            Step(chance.randint(0, end_ms), chance.choice(strangers), "come", (chance.choice((*WAYS, "err", "err")),))
            for _ in range(chance.choice((5, 30, 100)))
        ]
        if chance.randrange(3) == 0:  # all at once
            at_ms, way = chance.randint(0, end_ms), chance.choice(("say_nothing", "begin", "fall_silent"))
            steps += [Step(at_ms, stranger, "come", (way,)) for stranger in strangers]
        return steps

    @property
    def clients(self) -> "tuple[Stranger, ...]":
        return tuple(self.strangers)

    @property
    def connections(self) -> int:
        return 0

    def begin(self) -> None:
        """Do nothing: clients connect only by steps."""

    def is_done(self) -> bool:
        """Return whether all connections have been dropped, none of which the clients end."""
        return self.deadlines.are_over and not any(stranger.is_there for stranger in self.strangers)

    def check(self) -> None:
        process = self.world.process
        if process is None:
            return
        ports = [port for stranger in self.strangers for port in stranger.ports]
        names = {f"127.0.0.1:{port}" for port in ports}
        # A client without a socket has no name.
        left = [client.name for client in process.service.clients.there() if client.name in (*names, "a client")]
        left += [session.name for session in process.broker.sessions if session.name.partition(" ")[0] in names]
        if left:
            raise self.world.broken(f"{self.name}: {left} are still connected")


class Stranger(Client):
    """One client with at most one connection at a time, which never connects again by itself."""

    def __init__(self, world: World, name: str, deadlines: Deadlines) -> None:
        super().__init__(world, name, HEARTBEAT_S)
        self._deadlines = deadlines
        self.ports: list[int] = []
        self._way = ""
        self._password = "guest"
        self._abilities = ABILITIES
        #: Bytes to send after the login.
        self._mistake = b""
        #: Codes of which one must arrive; if empty, the broker sends nothing.
        self._expected: tuple[int, ...] = ()
        self._refused = False

    @property
    def is_there(self) -> bool:
        return self._connection is not None

    def do_come(self, way: str) -> None:
        """Connect, if it is not connected, and behave in one of the ways."""
        process = self.world.process
        if self.is_there or process is None or process.stopping:
            return
        self.gone = False
        self._way = way
        self._refused = False
        self._password, self._abilities = "guest", ABILITIES
        self.heartbeat = HEARTBEAT_S
        self._mistake, self._expected = b"", ()
        WAYS[way](self)

    # --- ways ---------------------------------------------------------------------------------------------------------

    def say_nothing(self) -> None:
        """Connect, and send nothing."""
        self._come(self._handshake_ns)

    def send_garbage(self) -> None:
        """Send data that is not AMQP, which the first eight bytes show."""
        self._come(self._handshake_ns)
        self.write(self.chance.randbytes(self.chance.choice((1, 7, 8, 9, 5_000, 70_000))))

    def begin(self) -> None:
        """Begin a handshake without finishing it."""
        self._come(self._handshake_ns)
        bytes_of_it = b"".join(LIFE[:3])
        self.write(bytes_of_it[: self.chance.randint(1, len(bytes_of_it))])

    def send_large_frame(self) -> None:
        """Send a frame before the login that exceeds the limit at that time."""
        self._come(self._handshake_ns)
        size = self.chance.choice((self.world.config.initial_frame_max, 100_000, 2**31, 2**32 - 1))
        kind = self.chance.choice((METHOD, HEADER, BODY))
        self.write(PROTOCOL_HEADER + struct.pack(">BHI", kind, 0, size) + self.chance.randbytes(min(size, 300_000)))
        self._deadlines.after(LATE_NS, partial(self._check_memory, self._incarnation))

    def guess(self) -> None:
        """Log in with a wrong password."""
        self._password = "wrong"
        if self.chance.random() < 0.5:
            self._abilities = Field("F", {})
        self._expected = (403,) if self._abilities.value else ()
        self._come(SILENT_CLOSE_DELAY_MS * MS)
        self._log_in()

    def fall_silent(self) -> None:
        """Log in, and never send anything again, including heartbeats."""
        self._come(self._silence_ns)
        self._log_in()

    def err(self) -> None:
        """Make a mistake with a known refusal."""
        self._mistake, self._expected = self.chance.choice(MISTAKES)
        if min(self._expected) > 500 and self.chance.random() < 0.5:
            # Only the time limit of the close ends its connection.
            self.heartbeat = 0
        self._come(self._silence_ns + CLOSING_TIMEOUT_MS * MS)
        self._log_in()

    def live_wrongly(self) -> None:
        """Send a whole session with some mistakes in it."""
        self._expected = REFUSALS
        self._come(self._silence_ns + CLOSING_TIMEOUT_MS * MS)
        self._send_in_pieces(mutated(self.chance))

    def vanish(self) -> None:
        """Send a part of a session, and disconnect."""
        self._expected = REFUSALS  # others have a queue of that name
        self._come(LATE_NS)
        life = b"".join(LIFE)
        self._send_in_pieces([life[: self.chance.randint(0, len(life))]])
        self.world.scheduler.after(self.chance.randint(0, 100) * MS, partial(self._vanish, self._incarnation))

    def close_half(self) -> None:
        """Send a part of a session, and shut down the sending side."""
        self._expected = REFUSALS  # others have a queue of that name
        self._come(LATE_NS)
        life = b"".join(LIFE)
        self.write(life[: self.chance.randint(0, len(life))])
        if self._connection is not None:
            self._connection.to_server.finish()

    def _vanish(self, incarnation: int) -> None:
        if incarnation == self._incarnation:
            self.drop()

    def _send_in_pieces(self, pieces: list[bytes]) -> None:
        """Send piece by piece, with pauses if there are many."""
        at = 0
        incarnation = self._incarnation
        for piece in pieces:
            self.world.scheduler.after(at, partial(self._send_piece, incarnation, piece))
            at += self.chance.choice((0, 0, 5 * MS))

    def _send_piece(self, incarnation: int, piece: bytes) -> None:
        if incarnation == self._incarnation and self._connection is not None:
            self.write(piece)

    # --- times --------------------------------------------------------------------------------------------------------

    @property
    def _handshake_ns(self) -> int:
        """Time within which an unfinished handshake ends without an answer."""
        return (self.world.config.handshake_timeout_ms + SILENT_CLOSE_DELAY_MS) * MS

    @property
    def _silence_ns(self) -> int:
        """Time within which a silent client that has logged in is dropped."""
        return self._handshake_ns + 3 * HEARTBEAT_S * SECOND

    # --- the connection -----------------------------------------------------------------------------------------------

    def _come(self, within: int) -> None:
        """Connect without sending anything. The broker must end the connection within that time."""
        self._incarnation += 1
        self._begin_afresh()
        self._connection = self.world.connect(self)
        if self._connection is None:
            return
        incarnation = self._incarnation
        self._connection.to_server.on_room = lambda: self._flush(incarnation)
        self.ports.append(self._connection.port)
        within += LINGER_MS * MS + LATE_NS
        self._deadlines.after(within, partial(self._check_gone, incarnation, within))

    def _log_in(self) -> None:
        self.write(PROTOCOL_HEADER)
        self._expect(self._start, "connection.start")

    def _start(self, _: Received) -> None:
        self.send(
            0,
            "connection.start-ok",
            client_properties={"capabilities": self._abilities},
            mechanism="PLAIN",
            response=f"\0guest\0{self._password}",
            locale="en_US",
        )
        self._expect(self._tune, "connection.tune")

    def opened(self) -> None:
        most, process = self.world.config.max_connections, self.world.process
        if most and process is not None and len(process.broker.sessions) > most:
            raise self.world.broken(f"{self.name}: {len(process.broker.sessions)} connections, not {most}")
        if self._mistake:
            self.write(self._mistake)

    def _read(self, incarnation: int) -> None:
        try:
            super()._read(incarnation)
        except NotUtf8Error:
            # A routing key that a mistake has damaged is returned as it is, as in RabbitMQ.
            self.drop()

    def _act_on(self, got: Received) -> None:
        """Answer the handshake only, so that the broker must wait for other answers."""
        if got.name in ("connection.close", "channel.close"):
            self.world.note(self.name, got)
            code = got.arguments["reply_code"]
            full = code == 530 and "node connection limit" in got.arguments["reply_text"]
            if code not in self._expected and not full and not is_shutdown(got):
                raise self.world.broken(f"{self.name}: {self._way} is refused with {got}, not {self._expected}")
            self._refused = True
            if got.name == "connection.close" and self.chance.random() < 0.5:
                self.send(0, "connection.close-ok")
        elif self._calls:
            super()._act_on(got)

    def ended(self) -> None:
        self.gone = True
        if self._connection is None:
            return
        was_open = self.open
        super().ended()
        is_served = self.world.process is not None and not self.world.is_stopping
        if self._way == "err" and was_open and not self._refused and is_served:
            raise self.world.broken(f"{self.name}: the connection ends without {self._expected}")

    def _check_gone(self, incarnation: int, within: int) -> None:
        """The broker has to have ended that connection by now, unless an alarm or the disk keeps it from being read."""
        if self._incarnation != incarnation or self._connection is None:
            return
        if self._is_blocked:
            self._deadlines.after(within, partial(self._check_gone, incarnation, within))
        else:
            raise self.world.broken(f"{self.name}: {self._way}, and is still connected")

    @property
    def _is_blocked(self) -> bool:
        process, port = self.world.process, self.ports[-1]
        return process is not None and any(
            connection.peer.port == port and connection.status.state.held for connection in connections(process)
        )

    def _check_memory(self, incarnation: int) -> None:
        """Check that a client that has not logged in needs at most the memory of a frame."""
        process = self.world.process
        if incarnation != self._incarnation or process is None or not self.ports:
            return
        for client in process.service.clients.there():
            if client.name == f"127.0.0.1:{self.ports[-1]}":
                held = sum(map(len, client._connection.frame_loop._waiting))  # type: ignore[union-attr]
                if held > self.world.config.initial_frame_max + FRAME_BYTES:
                    raise self.world.broken(f"{self.name}: the broker holds {held} bytes for it")


#: Way of behaving -> its method.
WAYS: dict[str, Callable[[Stranger], None]] = {
    "say_nothing": Stranger.say_nothing,
    "send_garbage": Stranger.send_garbage,
    "begin": Stranger.begin,
    "send_large_frame": Stranger.send_large_frame,
    "guess": Stranger.guess,
    "fall_silent": Stranger.fall_silent,
    "err": Stranger.err,
    "live_wrongly": Stranger.live_wrongly,
    "vanish": Stranger.vanish,
    "close_half": Stranger.close_half,
}

#: A correct session.
LIFE = [
    PROTOCOL_HEADER,
    method(
        "connection.start-ok",
        0,
        client_properties={"capabilities": ABILITIES},
        mechanism="PLAIN",
        response="\0guest\0guest",
        locale="en_US",
    ),
    method("connection.tune-ok", 0, channel_max=100, frame_max=8192, heartbeat=HEARTBEAT_S),
    method("connection.open", 0, virtual_host="/"),
    method("channel.open"),
    method("exchange.declare", exchange="strange", exchange_type="topic", auto_delete=True),
    method("queue.declare", queue="strange", exclusive=True, arguments={"x-max-length": Field("I", 3)}),
    method("queue.bind", queue="strange", exchange="strange", routing_key="#"),
    method("confirm.select"),
    method("basic.qos", prefetch_count=2),
    published("strange", b"one", "strange"),
    published("strange", b"two", priority=3, headers={"k": longstr("v"), "f": Field("d", 1.5)}),
    published("nowhere", b"three", mandatory=True),
    method("basic.consume", queue="strange", consumer_tag="t"),
    method("basic.ack", delivery_tag=1),
    method("channel.open", 2),
    method("basic.publish", 2, routing_key="strange"),
    frame(HEADER, 2, b"\0\x3c\0\0" + (6).to_bytes(8, "big") + b"\x10\0\2"),
    frame(BODY, 2, b"abc"),
    frame(HEARTBEAT, 0, b""),
    frame(BODY, 2, b"def"),
    method("tx.select", 2),
    published("strange", b"five", channel=2),
    method("tx.commit", 2),
    method("basic.recover", requeue=True),
    method("queue.purge", queue="strange"),
    method("channel.close", 2),
    method("basic.get", queue="strange"),
]

#: Mistakes on an open channel 1, and the codes of their refusals.
MISTAKES: list[tuple[bytes, tuple[int, ...]]] = [
    (frame(HEARTBEAT, 1, b""), (505,)),
    (frame(9, 0, b""), (501,)),
    (frame(METHOD, 1, b"\0\x32\0\x0a")[:-1] + b"\xcd", (501,)),
    (struct.pack(">BHI", METHOD, 1, 131_073) + b"x" * 1000, (501,)),
    (struct.pack(">BHI", BODY, 1, 2**32 - 1), (501,)),
    (frame(BODY, 1, b"body"), (505,)),
    (method("basic.publish", 1, routing_key="x") + method("basic.qos", 1), (505,)),
    (method("basic.publish", 1, routing_key="x") + frame(HEADER, 1, b"\0\x3c"), (501, 502, 505)),
    (method("basic.qos", 2, prefetch_count=1), (504,)),
    (method("channel.open", 1), (504,)),
    (method("connection.tune-ok", 0, channel_max=0, frame_max=0, heartbeat=0), (503, 504)),
    (frame(METHOD, 1, b"\0\x3c\0\x63"), (540,)),
    (frame(METHOD, 1, b"\0\x32\0\x0a\0\0"), (501,)),
    (method("queue.declare", 1, queue="q", arguments={"x-expires": Field("I", 0)}), (406,)),
    (method("queue.declare", 1, queue="nope", passive=True), (404,)),
    (method("basic.ack", 1, delivery_tag=7), (406,)),
    (method("basic.consume", 1, queue="nope"), (404,)),
    (method("exchange.declare", 1, exchange="amq.x", exchange_type="direct"), (403,)),
    (method("channel.flow", 1, active=False), (540,)),
    (published("x", b"m", priority=1, exchange="nope"), (404,)),
]


def mutated(chance: random.Random) -> list[bytes]:
    """Return a session with up to three mistakes; tune-ok itself is unchanged, so that silence ends."""
    life = list(LIFE)
    for _ in range(chance.randint(1, 3)):
        place = chance.choice([i for i, data in enumerate(life) if data is not LIFE[2]])
        life[place : place + 1] = _mutations(chance, life[place], life)
    return life


def _mutations(chance: random.Random, data: bytes, life: list[bytes]) -> list[bytes]:
    """Return the replacement of a piece."""
    at = chance.randrange(len(data) + 1)
    match chance.randrange(9):
        case 0:
            return []
        case 1:
            return [data, data]
        case 2:
            return [chance.choice(life), data]
        case 3:
            return [data[:at]]
        case 4:
            return [data[:at] + chance.randbytes(1) + data[at + 1 :]]
        case 5:
            return [data[:at] + chance.randbytes(chance.randint(1, 9)) + data[at:]]
        case 6:
            return [data[:1] + struct.pack(">H", chance.choice((0, 1, 2, 3, 65535))) + data[3:]]
        case 7:
            return [bytes((chance.choice((0, 1, 2, 3, 4, 8, 255)),)) + data[1:]]
        case _:
            size = chance.choice((0, 1, 4, 4088, 8192, 8193, 2**31, 2**32 - 1))
            return [data[:3] + struct.pack(">I", size) + data[7:]]
