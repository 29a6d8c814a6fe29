"""A simulated client of the management API: one request after another, over one connection that may break."""

import base64
import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import h11

from tests.simulation.client import READ_NS, RECONNECT_NS
from tests.simulation.http_server import MANAGEMENT
from tests.simulation.network import Connection
from tests.simulation.scheduler import MS
from tests.simulation.world import World

#: Fraction of cases in which an idle client closes its connection.
LEAVES = 0.3


class Answer(NamedTuple):
    """json: the decoded body, None without one."""

    status: int
    headers: Mapping[str, str]
    json: Any


#: Called with the answer to a request; with None if the connection ended before, so that the result is unknown.
Then = Callable[[Answer | None], None]


class Request(NamedTuple):
    """One request that waits or is being processed. sent_ns: time when it was sent; 0 before."""

    method: str
    path: str
    body: bytes
    headers: Mapping[str, str]
    then: Then


def path(*parts: str, **query: str) -> str:
    """Return the path of a resource: each part is quoted whole."""
    asked = "&".join(f"{name.replace('_', '-')}={quote(value, safe='')}" for name, value in query.items())
    return "/api/" + "/".join(quote(part, safe="") for part in parts) + (f"?{asked}" if asked else "")


class HttpClient:
    """A client that sends requests as a user. It connects when it has a request, and again after its connection ended.

    A request that waits for a connection is sent when there is one. name: in the transcript.
    """

    def __init__(self, world: World, name: str, user: str = "guest", password: str = "guest") -> None:
        self.world = world
        self.name = name
        self.chance = world.chance(name)
        self.user = user
        self.password = password
        self.listener = MANAGEMENT
        #: Headers of each request in addition to the standard ones, such as a cookie.
        self.headers: dict[str, str] = {}
        #: True if requests have a user name and password.
        self.authorizes = True
        #: Bytes of the largest body that it has sent.
        self.largest_body = 0
        self._waiting: deque[Request] = deque()
        self._current: Request | None = None
        self._connection: Connection | None = None
        self._connects = False
        self.gone = False
        self._incarnation = 0
        self._parser = h11.Connection(h11.CLIENT)
        self._status = 0
        self._answered: dict[str, str] = {}
        self._body = bytearray()
        self._arrived: list[bytes] = []
        self._reading = True
        self._unsent = b""
        world.clients.append(self)

    @property
    def idle(self) -> bool:
        """Return whether every request is answered or lost."""
        return self._current is None and not self._waiting

    def request(
        self, method: str, target: str, then: Then, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a request after the waiting ones; `then` is called with its answer. body: JSON, or raw bytes."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self._waiting.append(Request(method, target, raw, headers or {}, then))
        self._next()

    def drop(self) -> None:
        """Cut the connection."""
        if self._connection is not None:
            self._connection.cut()

    def leave(self) -> None:
        """End the connection, and do not connect again."""
        self.gone = True
        self._waiting.clear()
        self.drop()

    # --- steps --------------------------------------------------------------------------------------------------------

    def do_drop(self) -> None:
        """Cut the connection."""
        self.drop()

    def do_hang_up(self) -> None:
        """Close the socket after the last write."""
        if self._connection is not None:
            self._connection.finish(self._unsent)

    def do_pause(self, duration_ms: int) -> None:
        """Read nothing for a while."""
        self._reading = False
        self.world.scheduler.after(duration_ms * MS, self._resume)

    def do_stall(self, upward: bool, duration_ms: int) -> None:
        """Delay all bytes in one direction for a while."""
        if self._connection is not None:
            self._connection.stall(upward, duration_ms * MS)

    # --- callbacks of the network -------------------------------------------------------------------------------------

    def received_bytes(self, data: bytes) -> None:
        if not self._arrived:
            self._read_later()
        self._arrived.append(data)

    def ended(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        self.world.note(self.name, "ended")
        self._arrived.clear()
        lost, self._current = self._current, None
        if lost is not None:
            self.world.note(self.name, lost.method, lost.path, "has no answer")
            lost.then(None)
        self._next()

    # ----------------------------------------------------------------------------------------------------------------

    def _next(self) -> None:
        if self._current is not None or not self._waiting or self.gone:
            return
        if self._connection is None:
            self._connect_later()
            return
        self._current = request = self._waiting.popleft()
        self.largest_body = max(self.largest_body, len(request.body))
        headers = {"host": "localhost:15672", **self.headers, **request.headers}
        if self.authorizes:
            login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            headers["authorization"] = f"Basic {login}"
        if request.body or request.method in ("PUT", "POST"):
            headers["content-length"] = str(len(request.body))
        self.world.note(self.name, request.method, request.path, request.body[:200])
        head = self._parser.send(h11.Request(method=request.method, target=request.path, headers=list(headers.items())))
        body = self._parser.send(h11.Data(data=request.body)) if request.body else b""
        self._unsent += (head or b"") + (body or b"") + (self._parser.send(h11.EndOfMessage()) or b"")
        self._flush(self._incarnation)

    def _connect_later(self) -> None:
        if not self._connects:
            self._connects = True
            self.world.scheduler.after(self.chance.randint(*RECONNECT_NS), self._connect)

    def _connect(self) -> None:
        self._connects = False
        if self._connection is not None or not self._waiting:
            return
        connection = self.world.connect(self, self.listener)
        if connection is None:
            self._connect_later()
            return
        self._incarnation += 1
        incarnation = self._incarnation
        self._parser = h11.Connection(h11.CLIENT)
        self._unsent = b""
        self._connection = connection
        connection.to_server.on_room = lambda: self._flush(incarnation)
        self._next()

    def _flush(self, incarnation: int) -> None:
        if self._connection is not None and incarnation == self._incarnation and self._unsent:
            sent = self._connection.to_server.send(self._unsent)
            self._unsent = self._unsent[sent:]

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
        self._parser.receive_data(data)
        while incarnation == self._incarnation and self._connection is not None:
            event = self._parser.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                break
            if isinstance(event, h11.Response):
                self._status = event.status_code
                self._answered = {name.decode(): value.decode() for name, value in event.headers}
                self._body.clear()
            elif isinstance(event, h11.Data):
                self._body += event.data
            elif isinstance(event, h11.EndOfMessage):
                self._on_answer()

    def _on_answer(self) -> None:
        request, self._current = self._current, None
        if request is None:
            raise self.world.broken(f"{self.name}: an answer to no request: {self._status} {bytes(self._body)!r}")
        kind = self._answered.get("content-type", "")
        shown = json.loads(bytes(self._body)) if kind.startswith("application/json") else None
        answer = Answer(self._status, self._answered, shown)
        self.world.note(self.name, answer.status, bytes(self._body))
        if self._parser.our_state is h11.DONE and self._parser.their_state is h11.DONE:
            self._parser.start_next_cycle()
        else:
            self._current = None
            self.drop()
        if answer.status >= 500 and answer.status != 503:
            raise self.world.broken(f"{self.name}: {request.method} {request.path} is answered with {answer}")
        if answer.status < 300 and len(request.body) > self.world.config.bounds.body_bytes:
            raise self.world.broken(f"{self.name}: a body of {len(request.body)} bytes is accepted")
        for server in self.world.process.http_servers() if self.world.process is not None else ():
            if server.has_too_many:
                raise self.world.broken("more HTTP connections are served than the limit allows")
        request.then(answer)
        self._next()
        if self._current is None and self.chance.random() < LEAVES:
            self.drop()
