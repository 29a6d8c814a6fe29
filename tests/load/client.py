"""A client with minimal CPU cost: a blocking socket, and only the protocol features that load tests need."""

import resource
import socket
import ssl
from collections.abc import Iterable, Iterator
from typing import Any

from amqpbroker.client.login import PROTOCOL_HEADER, Login, announced
from amqpbroker.wire import methods
from amqpbroker.wire.frames import HEARTBEAT, METHOD, frame
from amqpbroker.wire.reader import FrameReader
from amqpbroker.wire.values import Table

TIMEOUT_S = 60.0


def request(name: str, channel: int = 1, **arguments: Any) -> bytes:
    """Return the frame of a method, such as `request("queue.declare", queue="q")`."""
    return frame(METHOD, channel, methods.encode(name, **arguments))


def guest(capabilities: Iterable[str] = (), password: str = "guest") -> Login:
    """Return the login of guest, without heartbeats. The client announces these capabilities and nothing else."""
    return Login(announced(capabilities), ("PLAIN",), "guest", password, lambda _: 0, channel_max=2047)


class LoadClient:
    """A connection with channel 1 open, logged in as guest. Leaving its `with` drops the socket.

    capabilities: capabilities that the client announces, such as `connection.blocked`. tls: encrypt the connection; any
    certificate of the broker is accepted. timeout_s: longest wait for the broker.
    """

    def __init__(
        self,
        port: int,
        receive_buffer_bytes: int = 0,
        capabilities: tuple[str, ...] = (),
        tls: bool = False,
        timeout_s: float = TIMEOUT_S,
        vhost: str = "/",
    ) -> None:
        self.reader = FrameReader(0)
        self.socket = socket.socket()
        try:
            self._connect(port, receive_buffer_bytes, timeout_s)
            if tls:
                self.socket = without_verification().wrap_socket(self.socket)
            self.server_properties: Table = self._log_in(guest(capabilities), vhost)
        except BaseException:
            self.socket.close()
            raise

    def _connect(self, port: int, receive_buffer_bytes: int, timeout_s: float) -> None:
        if receive_buffer_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.settimeout(timeout_s)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _log_in(self, login: Login, vhost: str) -> Table:
        """Return the server properties."""
        self.send(PROTOCOL_HEADER)
        start = self.expect("connection.start")
        self.send(login.start_ok(start))
        tuned = login.tuned(self.expect("connection.tune"))
        self.send(tuned.frame() + request("connection.open", 0, virtual_host=vhost) + request("channel.open"))
        self.expect("connection.open-ok")
        self.expect("channel.open-ok")
        properties: Table = start["server_properties"]
        return properties

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def call(self, name: str, answer: str, channel: int = 1, **arguments: Any) -> dict[str, Any]:
        """Send a method and wait for its answer; return the answer's arguments."""
        self.send(request(name, channel, **arguments))
        return self.expect(answer)

    def expect(self, name: str) -> dict[str, Any]:
        """Wait for this method, skipping deliveries; return its arguments."""
        for kind, payload in self.frames():
            if kind != METHOD:
                continue
            method = methods.METHODS[int.from_bytes(payload[:4], "big")]
            if method.name == name:
                return methods.decode(method, payload)
            assert method.name == "basic.deliver", (method.name, methods.decode(method, payload))
        raise AssertionError(f"the broker closed instead of sending {name}")

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Yield (type, payload) of each frame as it arrives, until the broker closes the connection."""
        while True:
            for kind, _, payload in self.reader.frames():
                if kind != HEARTBEAT:
                    yield kind, payload
            data = self.socket.recv(1 << 16)
            if not data:
                return
            self.reader.feed(data)

    def take_unread(self) -> bytes:
        """Remove and return received bytes that belong to no frame yielded so far."""
        return self.reader.take(self.reader.held)

    def declare(self, queue: str, **arguments: Any) -> None:
        self.call("queue.declare", "queue.declare-ok", queue=queue, **arguments)

    def depth(self, queue: str) -> int:
        """Return the number of ready messages in the queue."""
        count: int = self.call("queue.declare", "queue.declare-ok", queue=queue, passive=True)["message_count"]
        return count

    def __enter__(self) -> "LoadClient":
        return self

    def __exit__(self, *raised: object) -> None:
        self.socket.close()

    def close(self) -> None:
        """Close the connection in order, as normal clients do."""
        self.call("connection.close", "connection.close-ok", channel=0, reply_code=200, class_id=0, method_id=0)
        self.socket.close()


def without_verification() -> ssl.SSLContext:
    """Return a client's context for TLS that accepts any certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def allow_open_files(count: int) -> bool:
    """Raise this process's limit of open files; return False if that is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
        soft = count
    return soft >= count
