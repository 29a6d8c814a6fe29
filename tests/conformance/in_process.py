"""A broker in this process as a target of conformance cases: no sockets, and a clock that moves while a case waits."""

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import ClassVar

from amqpbroker.amqp.connection import Connection
from amqpbroker.amqp.peer import Peer
from amqpbroker.broker.broker import Broker
from amqpbroker.clock import TravelClock
from amqpbroker.compat import DEFAULT_COMPAT
from amqpbroker.config import Config
from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.management.app import build_app
from amqpbroker.server.tick import Tick
from amqpbroker.store.committer import InlineCommitter
from amqpbroker.store.persistence import Persistence
from amqpbroker.store.store import MemoryStore, Store
from amqpbroker.store.streams.streams import streams_in_memory
from conformance.management import Management
from conformance.network import Link, Network
from conformance.target import Target
from tests.conformance.extensions_used import ExtensionsUsed, SentFrames
from tests.harness import Cut, whole
from tests.management.api import StillNode
from tests.memory_log import MemoryLog

#: Bytes that are fed whole: cutting them takes long, and a body has few states.
LARGE = 100_000
#: More timers and event loop iterations than any case has at one instant.
AT_ONCE = 10_000
#: So small that a log has several segments, of which the oldest are given up.
SEGMENT_BYTES = 4_000


class InProcess(Network):
    """A broker in this process, fed with bytes. Time stands still until a case waits for what is not there yet.

    cut: the pieces in which clients' bytes arrive. run: runs a coroutine to its end. stored: the broker keeps durable
    messages, in a log; else it keeps all in memory. extensions: the broker has extensions, and `used` has those that
    clients use.
    """

    def __init__(
        self,
        cut: Cut = whole,
        run: Callable[[Coroutine], None] = asyncio.run,
        stored: bool = False,
        bounds: Bounds = BOUNDS,
        extensions: bool = False,
    ) -> None:
        self.cut = cut
        self.run = run
        self.clock = TravelClock()
        self.clock.freeze()
        store = self._stored() if stored else MemoryStore()
        config = Config(bounds=bounds, compat=DEFAULT_COMPAT.configured({}, extensions))
        self.broker = Broker(config, self.clock, store)
        self.used = ExtensionsUsed(config.compat) if extensions else None
        self._soon: deque = deque()
        self.tick = Tick(self._soon.append, self.broker.sync, self._fail)
        store.drive(self.tick.request)
        self.ports = itertools.count(40000)
        self._acted_ms = self._acted = 0

    @staticmethod
    def _fail(error: Exception) -> None:
        raise error

    def _stored(self) -> Store:
        log = MemoryLog(SEGMENT_BYTES)
        log.recover()
        streams = streams_in_memory(BOUNDS.stream_cache_bytes)
        return Persistence(log, InlineCommitter(log, streams.write), self._fail, self.clock, streams=streams)

    def connect(self, timeout_s: float) -> "LinkInProcess":
        return LinkInProcess(self)

    def readable(self, links, wait_s):
        links = list(links)
        self.wait_for(lambda: any(link.arrived for link in links), wait_s)
        return [link for link in links if link.arrived]

    def now_s(self) -> float:
        return self.clock.now_ms() / 1000

    def wall_s(self) -> float:
        return self.clock.wall_ms() / 1000

    def sleep(self, seconds: float) -> None:
        self.wait_for(lambda: False, seconds)

    def settle(self) -> None:
        """Run event loop iterations until nothing is left to do."""
        while self._soon:
            self._act()
            self._soon.popleft()()

    def _act(self) -> None:
        """Count what is done at one instant, so that a broker that never comes to rest fails instead of hanging."""
        now_ms = self.clock.now_ms()
        self._acted = self._acted + 1 if now_ms == self._acted_ms else 0
        self._acted_ms = now_ms
        assert self._acted < AT_ONCE, "the broker does not come to rest"

    def wait_for(self, happened, wait_s: float) -> None:
        """Move the clock from timer to timer, until something has happened or `wait_s` have passed."""
        end_ms = self.clock.now_ms() + round(max(wait_s, 0) * 1000)
        self.settle()
        while not happened() and self.clock.step(end_ms):
            self._act()
            self.settle()

    def call_soon(self, callback) -> None:
        self._soon.append(callback)


class LinkInProcess(Link):
    """One client's connection. Its bytes wait while the broker does not read, as in a socket's buffer."""

    def __init__(self, network: InProcess) -> None:
        self._network = network
        self._connection = Connection(
            network.broker, Peer("127.0.0.1", next(network.ports), "127.0.0.1", 5672), self._on_dirty
        )
        self._sent = None if network.used is None else SentFrames(network.used)
        self._unread: deque[bytes] = deque()
        self._out = bytearray()
        self._marked = False
        self._acting = False
        self._shut = False
        self._gone = False
        self._over = False

    @property
    def arrived(self) -> bool:
        """Return whether there is something to receive, if only the end."""
        return bool(self._out) or (self._gone and not self._over)

    def send(self, data: bytes) -> None:
        if self._gone:
            raise BrokenPipeError
        if self._sent is not None:
            self._sent.feed(data)
        self._unread.append(data)
        self._network.settle()
        self._read()

    def receive(self, wait_s: float) -> bytes | None:
        self._network.wait_for(lambda: self.arrived, wait_s)
        if not self.arrived:
            return None
        data = bytes(self._out)
        self._out.clear()
        self._over = not data
        return data

    def shut(self) -> None:
        self._network.settle()
        self._shut = True
        self._read()

    def close(self) -> None:
        self._over = True
        self._lose()

    def _lose(self) -> None:
        if not self._gone:
            self._gone = True
            self._network.call_soon(self._connection.lost)

    def _read(self) -> None:
        """Feed the sent bytes to the connection, until it stops reading."""
        self._acting = True
        while self._unread and self._connection.reading and not self._connection.closing:
            data = self._unread.popleft()
            for piece in self._network.cut(data) if len(data) < LARGE else (data,):
                self._connection.feed(piece)
        self._acting = False
        if self._shut and not self._unread:
            self._lose()

    def _on_dirty(self) -> None:
        if not self._marked:
            self._marked = True
            self._network.tick.mark(self, self._acting)

    def end_turn(self) -> None:
        self._marked = False
        if self._gone:
            return
        self._acting = True
        self._out += b"".join(self._connection.collect())
        self._acting = False
        if self._connection.closing:
            self._lose()
        elif self._unread:
            self._network.call_soon(self._read)


class ManagementInProcess(Management):
    """The HTTP API of a broker in process."""

    def __init__(self, url: str, network: InProcess) -> None:
        super().__init__(url)
        self._network = network
        self._app = build_app(network.broker, StillNode())

    def _request(self, method, path, body, headers):
        self._network.settle()
        if self._network.used is not None:
            self._network.used.requested(body)
        data = b"" if body is None else json.dumps(body).encode()
        sent = {"Authorization": self._authorization, "Content-Type": "application/json"} | headers
        raw_path, _, query = f"/api/{path}".partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": raw_path,
            "raw_path": raw_path.encode(),
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()]
            + [(b"host", b"localhost"), (b"content-length", str(len(data)).encode())],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 15672),
            "scheme": "http",
            "http_version": "1.1",
        }
        answer = bytearray()
        status = 0

        async def receive():
            return {"type": "http.request", "body": data, "more_body": False}

        async def send(message):
            nonlocal status
            status = message.get("status", status)
            answer.extend(message.get("body", b""))

        async def serve():
            serving = asyncio.ensure_future(self._app(scope, receive, send))
            while not serving.done():
                # An answer may wait until a message is stored.
                await asyncio.sleep(0)
                self._network.settle()
            await serving

        self._network.run(serve())
        self._network.settle()
        return status, bytes(answer)


@dataclass(frozen=True)
class TargetInProcess(Target):
    """A broker of its own in this process."""

    host: str = "in process"
    port: int = 0
    management_url: str = "http://guest:guest@localhost"
    within: InProcess = field(default_factory=InProcess)
    lasting: ClassVar[bool] = False

    @property
    def network(self) -> InProcess:
        return self.within

    def management(self):
        return ManagementInProcess(self.management_url, self.within)
