"""Random HTTP requests to a broker, and their results: no 500, no traceback in the log, no hang."""

import contextlib
import http.client
import json
import random
import socket
import struct
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from amqpbroker.management.routes import RESOURCES
from tests.fuzz.http import raw
from tests.fuzz.http.requests import USERS, Asked, any_request, resource_request, spoiled_paths, spoiled_request
from tests.process import BrokerProcess

#: Maximum seconds for an answer. The broker gets one request at a time.
ANSWER_S = 20.0

#: Seconds to wait for an answer to a stream of bytes, which may be an incomplete request.
LISTEN_S = 0.02

#: Number of requests after which broken objects are recreated and every list is requested.
ROUND = 200

#: User that recreates broken objects. No request concerns this user or the vhost of the same name.
KEEPER = "keeper"

_TRACES = ("Traceback", "internal error", "Exception in ASGI", "Fatal error", "exception was never retrieved")


@dataclass
class Report:
    """Results of a campaign."""

    requests: int = 0
    streams: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counted = ", ".join([f"{status}: {count}" for status, count in sorted(self.statuses.items())])
        lines = [f"{self.requests} requests and {self.streams} streams of bytes; answers by status: {counted}"]
        return "\n".join([*lines, f"{len(self.findings)} findings", *self.findings])


class Campaign:
    """Requests and streams of bytes for a broker, the same ones for the same seed.

    The broker needs an administrator KEEPER whose password is also KEEPER (`ARGUMENTS`).
    """

    ARGUMENTS = ("--set", f"default_user={KEEPER}", "--set", f"default_pass={KEEPER}")

    def __init__(self, broker: BrokerProcess, seed: int) -> None:
        self.report = Report()
        self._broker = broker
        self._chance = random.Random(seed)
        self._ports = {"management": broker.port_of("http"), "metrics": broker.port_of("http/prometheus")}
        self._sockets: dict[str, socket.socket] = {}
        self._last: list[str] = []
        self._log_at = 0

    def run(self, go_on: Callable[[], bool]) -> Report:
        """Request every resource with every method, then hostile paths and random requests while go_on() is true."""
        self._restore()
        for resource in RESOURCES:
            for method in resource.methods:
                self._ask(resource_request(self._chance, resource, method))
        self._look()
        paths = list(spoiled_paths())
        self._chance.shuffle(paths)
        while go_on():
            for _ in range(ROUND):
                kind = self._chance.random()
                if kind < 0.4 and paths:
                    self._ask(spoiled_request(self._chance, *paths.pop()))
                elif kind < 0.8:
                    self._ask(any_request(self._chance))
                else:
                    self._send(raw.stream(self._chance))
            self._look()
        for sock in self._sockets.values():
            sock.close()
        return self.report

    # --- requests ---------------------------------------------------------------------------------------------------

    def _ask(self, asked: Asked) -> bytes:
        self.report.requests += 1
        self._last.append(str(asked))
        status, body = 0, b""
        for attempt in range(2):
            sock = self._sockets.pop(asked.port, None) or self._connected(asked.port)
            try:
                sock.sendall(asked.data)
                answer = http.client.HTTPResponse(sock, method=asked.method)
                answer.begin()
                body = answer.read()
            except TimeoutError:
                self._found(f"no answer in {ANSWER_S} s")
                sock.close()
                return b""
            except (OSError, http.client.HTTPException) as error:
                sock.close()
                if attempt:
                    self._found(f"no answer: {error!r}")
                    return b""
                continue
            status = answer.status
            if answer.will_close:
                sock.close()
            else:
                self._sockets[asked.port] = sock
            break
        self.report.statuses[status] += 1
        if status == 500:
            self._found(f"status 500: {body[:300]!r}")
        return body

    def _send(self, stream: raw.Stream) -> None:
        self.report.streams += 1
        self._last.append(str(stream))
        with self._connected(stream.port) as sock, contextlib.suppress(OSError):
            for part in stream.parts:
                sock.sendall(part)
                if len(stream.parts) > 1:
                    time.sleep(0.001)
            if stream.cut == "shut":
                sock.shutdown(socket.SHUT_WR)
            if stream.cut == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            sock.settimeout(LISTEN_S)
            data = b""
            while piece := sock.recv(65536):
                data += piece
                if b"HTTP/1.1 500" in data:
                    self._found(f"status 500: {data[:300]!r}")
                    return

    def _connected(self, port: str) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self._ports[port]), ANSWER_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    # --- checks -----------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Recreate broken objects, and check that every list can be shown and a message gets through."""
        if self._broker.process.poll() is not None:
            raise AssertionError(f"the broker has ended: {self._broker.log[-2000:]}\n{self._last[-20:]}")
        self._restore()
        for resource in RESOURCES:
            if resource.get is not None and "{" not in resource.path:
                self._keep("GET", resource.path, expected=(200, 503))
        for path in ("/metrics", "/metrics/per-object", "/metrics/detailed?family=queue_metrics"):
            asked = Asked("metrics", "GET", path, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            self._ask(asked)
        message = {"routing_key": "check", "payload": "x", "payload_encoding": "string", "properties": {}}
        self._keep("POST", f"/exchanges/{KEEPER}/amq.default/publish", message)
        wanted = {"count": 10, "ackmode": "ack_requeue_false", "encoding": "auto"}
        got = self._keep("POST", f"/queues/{KEEPER}/check/get", wanted)
        if got.count(b'"payload":"x"') != 1:
            self._found(f"the message did not get through: {got!r}")
        log = self._broker.log
        new, self._log_at = log[self._log_at :], len(log)
        if any(trace in new for trace in _TRACES):
            self._found(f"in the log: {new[-3000:]}")
        self._last.clear()

    def _restore(self) -> None:
        for vhost in ("%2F", "v", KEEPER):
            self._keep("PUT", f"/vhosts/{vhost}", {})
            for limit in ("max-connections", "max-queues"):
                self._keep("DELETE", f"/vhost-limits/{vhost}/{limit}")
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        for user, tags in {**USERS, KEEPER: ("administrator",)}.items():
            self._keep("PUT", f"/users/{user}", {"password": user, "tags": ",".join(tags)})
            for vhost in (KEEPER,) if user == KEEPER else () if user == "stranger" else ("%2F", "v"):
                self._keep("PUT", f"/permissions/{vhost}/{user}", everything)
        for name in ("q", "p"):
            self._keep("PUT", f"/queues/%2F/{name}", {}, expected=(201, 204, 400, 401))
        self._keep("PUT", f"/queues/{KEEPER}/check", {"durable": True})

    def _keep(self, method: str, path: str, body: Any = None, expected: tuple[int, ...] = (200, 201, 204)) -> bytes:
        """Send a request as the keeper; a refusal is a finding."""
        content = b"" if body is None else json.dumps(body).encode()
        login = b64encode(f"{KEEPER}:{KEEPER}".encode()).decode()
        head = (
            f"{method} /api{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\nContent-Length: {len(content)}"
        )
        before = self.report.statuses.copy()
        answer = self._ask(Asked("management", method, path, head.encode() + b"\r\n\r\n" + content))
        (status,) = self.report.statuses - before or (0,)
        if status not in expected:
            self._found(f"{method} {path} as an administrator: {status} {answer[:300]!r}")
        return answer

    def _found(self, what: str) -> None:
        latest = "\n    ".join(self._last[-3:])
        self.report.findings.append(f"{what}\n  after\n    {latest}")
