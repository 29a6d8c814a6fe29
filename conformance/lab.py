"""The tools of a case: connections, channels and names of its own."""

from __future__ import annotations

from typing import Any

from conformance.channel import Channel
from conformance.client import NEVER_CAME, Connection, Timing, pump_all
from conformance.decoder import Event
from conformance.errors import CaseStoppedError, MalformedFrameError, SetupError, UnsuitableCaseError
from conformance.janitor import Janitor
from conformance.management import Management
from conformance.network import Network
from conformance.target import Target

DROP_WITHIN_S = 1.5


class Lab:
    """The environment of one run of one case; everything received becomes the transcript."""

    def __init__(self, case_id: str, target: Target, timing: Timing, janitor: Janitor, kind: str = "") -> None:
        self.target = target
        self.timing = timing
        self.janitor = janitor
        self.kind = kind
        self.connections: list[Connection] = []
        self.observed: dict[str, Any] = {}
        self.trace_lines: list[str] = []
        self.slept = False
        self._prefix = "c." + case_id.replace("/", ".")
        self._queues: list[str] = []
        self._exchanges: list[str] = []
        self._hidden: set[str] = set()
        self._channels: list[Channel] = []
        self._default: Connection | None = None
        self._management: Management | None = None

    @property
    def network(self) -> Network:
        """The connection to the target, and the clock of its cases."""
        return self.target.network

    # names

    def q(self, short: str = "q") -> str:
        """Return a queue name of this case, the same in every run. No queue of that name exists at the first call."""
        name = f"{self._prefix}.{short}"
        if name not in self._queues:
            self.janitor.delete_queue(name)
            self._queues.append(name)
        return name

    def x(self, short: str = "x") -> str:
        """Return an exchange name of this case, the same in every run.

        No exchange of that name exists at the first call.
        """
        name = f"{self._prefix}.{short}"
        if name not in self._exchanges:
            self.janitor.delete_exchange(name)
            self._exchanges.append(name)
        return name

    def name(self, short: str) -> str:
        """Return a name of this case for another object: a user, a vhost, a policy."""
        return f"{self._prefix}.{short}"

    def hide(self, queue: str) -> None:
        """Omit the queue from "left", because the protocol does not determine its content."""
        self._hidden.add(queue)

    # connections and channels

    def raw(self) -> Connection:
        """Return a connection on which nothing has been sent yet."""
        try:
            connection = Connection(f"c{len(self.connections) + 1}", self.network, self.timing, self.trace_lines.append)
        except OSError as error:
            raise SetupError(f"{self.target.host}:{self.target.port}: {error}") from error
        self.connections.append(connection)
        return connection

    def connect(self, **handshake: Any) -> Connection:
        """Return a further connection, logged in; keywords are those of Connection.handshake."""
        connection = self.raw()
        connection.handshake(**({"user": self.target.user, "password": self.target.password} | handshake))
        return connection

    @property
    def connection(self) -> Connection:
        """Return the case's main connection, or a new one after the broker has closed it."""
        if self._default is None or not self._default.is_open():
            self._default = self.connect()
        return self._default

    def channel(self, connection: Connection | None = None, number: int | None = None) -> Channel:
        """Return an open channel, by default on the main connection and with the next number."""
        channel = self.unopened_channel(connection, number)
        channel.open()
        return channel

    def unopened_channel(self, connection: Connection | None = None, number: int | None = None) -> Channel:
        """Return a channel for which channel.open was not sent."""
        connection = connection or self.connection
        channel = Channel(connection, connection.next_channel() if number is None else number, self.kind)
        self._channels.append(channel)
        return channel

    # time and observation

    def sleep(self, seconds: float) -> None:
        """Wait. Use it only for effects of time itself."""
        self.slept = True
        self.network.sleep(seconds)

    def quiet(self) -> None:
        """Read events on all connections until none has received anything for the quiet period.

        A broker that hangs is quiet, too: silence counts only after it has answered and nothing was received before
        that.
        """
        while True:
            pump_all(self.connections, self.timing.quiet_s)
            before = self._received()
            self.janitor.ask()
            pump_all(self.connections, 0)
            if self._received() == before:
                return

    def _received(self) -> list[tuple[int, bool]]:
        """Return the number of events of each connection, and whether it is lost."""
        return [(len(connection.events), connection.lost) for connection in self.connections]

    def observe(self, what: str, value: Any) -> None:
        """Put a measured value into the transcript."""
        self.observed[what] = value

    def ready(self, queue: str) -> int:
        """Return the number of ready messages of a queue (-1 if it does not exist), without a transcript."""
        count: int = self.janitor.count(queue).arguments.get("message_count", -1)
        return count

    def wait_ready(self, queue: str, count: int) -> None:
        """Wait until `count` messages are ready in a queue (-1: until it does not exist), without a transcript."""
        self.wait_ready_in_all([queue], count)

    def wait_ready_in_all(self, queues: list[str], count: int) -> None:
        """Wait until `count` messages are ready in these queues together, without a transcript."""
        deadline = self.network.now_s() + self.timing.reply_s
        while (found := sum(self.ready(queue) for queue in queues)) != count:
            if self.network.now_s() > deadline:
                self.observe(f"{NEVER_CAME} {count} ready in {' '.join(queues)}", found)
                raise CaseStoppedError(f"{queues} never had {count} ready messages")
            self.network.sleep(0.02)

    @property
    def management(self) -> Management:
        """The target's HTTP API, for cases that require it."""
        if self._management is None:
            self._management = self.target.management()
        return self._management

    # the end

    def finish(self) -> tuple[dict[str, list[Event]], list[dict[str, Any]]]:
        """Return everything received, by `connection/channel`, and the content left in the case's queues.

        Raises UnsuitableCaseError if it declared no queue and is to run on a kind of queue.
        """
        if self.kind and not any(channel.queues for channel in self._channels):
            raise UnsuitableCaseError("it declares no queue")
        self.quiet()
        for connection in self.connections:
            deadline = self.network.now_s() + DROP_WITHIN_S
            while not connection.is_open() and not connection.lost and self.network.now_s() < deadline:
                connection.pump(deadline - self.network.now_s())
        in_reach = [channel for channel in self._channels if channel.connection.vhost == "/"]
        declared = dict.fromkeys(name for channel in in_reach for name in channel.queues)
        left = []
        for queue in declared:
            if queue in self._hidden:
                continue
            try:
                left.append(self.janitor.left_in(queue))
            except (CaseStoppedError, MalformedFrameError) as error:
                left.append({"queue": queue, "error": f"harness: {error}"})
        pump_all(self.connections, 0)
        received: dict[str, list[Event]] = {}
        for connection in self.connections:
            for event in connection.events:
                received.setdefault(f"{connection.label}/{event.channel}", []).append(event)
        return received, left

    def clean(self) -> None:
        """Close the connections and delete the objects of the case."""
        for connection in self.connections:
            connection.close()
        if self._management is not None and self.target.lasting:
            self._management.undo()
        for channel in self._channels:
            self._queues += [name for name in channel.queues if name and name not in self._queues]
        for queue in self._queues:
            self.janitor.delete_queue(queue)
        for exchange in self._exchanges:
            self.janitor.delete_exchange(exchange)
