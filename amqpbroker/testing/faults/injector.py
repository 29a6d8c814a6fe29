"""The faults that are in force, and the connections' lines that they strike at: all of it is for the loop's thread."""

import asyncio
import datetime
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import cast

from amqpbroker.amqp.connection import Connection
from amqpbroker.amqp.peer import Peer
from amqpbroker.broker.broker import Broker
from amqpbroker.broker.events.tap import Tap, TappedDestination, TappedVhost, Via
from amqpbroker.message.message import Message
from amqpbroker.server.app import Server
from amqpbroker.server.transport import ClientTransport, Connect, Served
from amqpbroker.testing.faults.confirms import Confirm
from amqpbroker.testing.faults.fault import Fault, Key, Struck
from amqpbroker.testing.faults.frames import Frame
from amqpbroker.testing.faults.index import Bucket, Index, Meant
from amqpbroker.testing.faults.line import Line

log = logging.getLogger(__name__)

#: How many strikes are remembered, and how many of them a failing test shows.
KEPT = 10_000
SHOWN = 30


def _alone(down_s: float) -> None:
    """There is no broker."""


class Injector(Tap):
    """Of one broker, which may be started again: the faults go on then.

    Until there is a fault, nothing stands between sockets and connections. Of several faults that want to strike at the
    same frame, the one that was ordered first does; the others have counted it all the same.
    """

    def __init__(self) -> None:
        #: Starts the broker again, after so many seconds.
        self.restart: Callable[[float], None] = _alone
        self.happened: deque[Struck] = deque(maxlen=KEPT)
        #: Active faults in the order in which they were added.
        self._faults: dict[Fault, None] = {}
        self._index = Index()
        #: Copies of messages that are not delivered yet.
        self._copies: dict[int, Message] = {}
        self._lines: dict[str, Line] = {}
        self._count = 0
        self._ordered = 0
        self._server: Server | None = None
        self._direct: Connect | None = None

    # --- orders -----------------------------------------------------------------------------------------------------

    def attach(self, server: Server) -> None:
        """A broker is about to start."""
        self._server, self._direct = server, None
        self._lines.clear()
        self._copies.clear()
        if self._faults:
            self._stand_between()
        for fault in self._faults:
            fault.begin()

    def detach(self) -> None:
        """Drop the references to the broker, which has ended, so that its faults do not keep it alive."""
        self.restart = _alone
        self._server = self._direct = None
        self._lines.clear()
        self._copies.clear()

    def add(self, fault: Fault) -> None:
        """Raises ValueError for one that cannot be had here."""
        fault.injector = self
        self._ordered += 1
        fault.id = self._ordered
        self._stand_between()
        fault.begin()
        self._faults[fault] = None
        self._index.add(fault)
        self._look()

    def remove(self, faults: Iterable[Fault]) -> None:
        """These are in force no more; those that were not are left alone. What they have kept back comes now."""
        gone = dict.fromkeys(sorted([each for each in faults if each in self._faults], key=lambda fault: fault.id))
        for fault in gone:
            del self._faults[fault]
        self._index.remove(gone)
        for fault in gone:
            fault.end()
        if not self._faults:
            self._copies.clear()
        if not self._faults and self._server is not None and self._direct is not None:
            self._server.clients.connect, self._direct = self._direct, None
            self._server.broker.untap(self)
        self._look()

    def _stand_between(self) -> None:
        server = self._server
        if server is None or self._direct is not None:
            return
        self._direct, server.clients.connect = server.clients.connect, self._connect
        server.broker.tap(self)
        for client in server.clients.there():
            client.interpose(partial(self._line, client))

    def _connect(self, peer: Peer, client: ClientTransport) -> Served:
        assert self._direct is not None
        return self._line(client, self._direct(peer, client))

    def _line(self, client: ClientTransport, served: Served) -> Served:
        if isinstance(served, Line):  # of earlier faults
            return served
        connection = cast(Connection, served)
        if connection.peer.user is not None:  # within the broker there is no line
            return connection
        self._count += 1
        line = Line(self, client, connection, self._count)
        self._lines[connection.name] = line
        return line

    def _look(self) -> None:
        for line in self._lines.values():
            line.look()

    # --- what tests look at -----------------------------------------------------------------------------------------

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The active faults in the order in which they were added."""
        return tuple(self._faults)

    @property
    def active(self) -> list[Fault]:
        """Those that may strike."""
        return [fault for fault in self.faults if not fault.is_spent]

    def report(self) -> str:
        """What a failing test says of faults; empty without any."""
        active = [str(fault) for fault in self.active]
        more = [f"and {len(active) - SHOWN} others"] if len(active) > SHOWN else []
        parts = [f"faults in force: {', '.join([*active[:SHOWN], *more])}"] if active else []
        struck = list(self.happened)
        if struck:
            before = f", the last {SHOWN} times" if len(struck) > SHOWN else ""
            parts.append("\n  ".join([f"faults that struck{before}:", *map(str, struck[-SHOWN:])]))
        return "\n".join(parts)

    # --- what faults use --------------------------------------------------------------------------------------------

    @property
    def broker(self) -> Broker | None:
        """None while it is not running."""
        return None if self._server is None else self._server.broker

    @property
    def lines(self) -> Sequence[Line]:
        """In the order in which they came."""
        return list(self._lines.values())

    def soon(self, call: Callable[[], None]) -> None:
        """In the loop's next turn."""
        asyncio.get_running_loop().call_soon(call)

    def tell(self, fault: Fault, line: Line | None, what: str) -> None:
        """A fault has struck."""
        broker = self.broker
        assert broker is not None
        at = datetime.datetime.fromtimestamp(broker.clock.now_ms() / 1000, datetime.UTC)
        struck = Struck(str(fault), what, "the broker" if line is None else str(line), at)
        self.happened.append(struck)
        log.info("fault: %s", struck)

    def copy(self, message: Message) -> Message:
        """Return a copy whose first delivery is not counted."""
        copy = message.rewritten(message.address, message.properties)
        self._copies[id(copy)] = copy
        return copy

    # --- what lines ask ---------------------------------------------------------------------------------------------

    def strikes(self, line: Line, frame: Frame, received: bool) -> Fault | None:
        """Which fault strikes at a frame."""
        meant = self._index.meant(line)
        wanting: list[Fault | None] = []
        if frame.name:
            for key in self._index.keys(line, frame, received):
                for bucket in _buckets(meant, key):
                    bucket.advance()
                    wanting.append(bucket.first())
        frames = meant.buckets.get(("frames", _way(received)))
        if frames is not None and frame.counts:
            frames.advance()
            wanting.append(frames.first())
        wanting += [fault for group in meant.groups for fault in group.every if fault.wants(line, frame, received)]
        return min(filter(None, wanting), key=lambda fault: fault.id, default=None)

    def room(self, line: Line, size: int, received: bool) -> tuple[Fault | None, int]:
        """Which fault strikes within so many octets, and after how many of them."""
        octets = self._index.meant(line).buckets.get(("octets", _way(received)))
        if octets is None:
            return None, size
        before = octets.count
        octets.advance(size)
        soonest = octets.soonest()
        return (None, size) if soonest is None else (soonest[0], max(soonest[1] - before, 0))

    def keeps(self, confirm: Confirm) -> bool:
        """Whether a fault keeps a confirm."""
        assert isinstance(confirm.line, Line)
        wanting: list[Fault | None] = []
        for bucket in _buckets(self._index.meant(confirm.line), ("confirm",)):
            if bucket not in confirm.counted:
                bucket.advance()
                confirm.counted[bucket] = bucket.count
            wanting.append(bucket.first(confirm.counted[bucket], lambda fault: fault not in confirm.passed))
        keeper = min(filter(None, wanting), key=lambda fault: fault.id, default=None)
        if keeper is not None:
            keeper.keep(confirm)
        return keeper is not None

    def reads(self, line: Line) -> bool:
        return self._index.meant(line).reads

    def writes(self, line: Line) -> bool:
        return self._index.meant(line).writes

    def piece(self, line: Line) -> int:
        """How many octets it may write at once; 0 for all."""
        return self._index.meant(line).piece

    def lost(self, line: Line) -> None:
        if self._lines.get(line.connection.name) is line:
            del self._lines[line.connection.name]

    # --- what the broker tells --------------------------------------------------------------------------------------

    def published(
        self, vhost: TappedVhost, message: Message, destinations: Sequence[TappedDestination], via: Via
    ) -> None:
        """Of no interest."""

    def delivered(self, vhost: TappedVhost, message: Message, queue: str, redelivered: bool, via: Via) -> None:
        copied = self._copies.pop(id(message), None) is not None
        line = self._lines.get(via.connection)
        if line is None or redelivered or copied:
            return
        meant = self._index.meant(line)
        struck = [fault for group in meant.groups for fault in group.every]
        for key in (("delivery", None), ("delivery", queue)):
            for bucket in _buckets(meant, key):
                bucket.advance()
                struck += bucket.all()
        for fault in sorted(struck, key=lambda fault: fault.id):
            fault.delivered(line, vhost, message, queue, via)


def _buckets(meant: Meant, key: Key) -> list[Bucket]:
    return [group.buckets[key] for group in meant.groups if key in group.buckets]


def _way(received: bool) -> str:
    return "received" if received else "sent"
