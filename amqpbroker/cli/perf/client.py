"""A connection that waits for each answer: login, declarations, churn and closing."""

import socket
import time
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from amqpbroker.cli.perf.access import Tls, Uri
from amqpbroker.cli.perf.failure import PerfError, explained, refusal
from amqpbroker.client.login import FRAME_MAX, PROTOCOL_HEADER, Login, MechanismError, client_properties
from amqpbroker.config.identity import OWN_NAME
from amqpbroker.wire import frames, methods
from amqpbroker.wire.reader import FrameReader, ProtocolHeaderError
from amqpbroker.wire.values import MalformedError, Table, longstr, text

#: Time limit in seconds for an orderly end after an error.
ABANDON_S = 1.0
#: Largest number of a channel.
CHANNEL_MAX = 65535


@dataclass(frozen=True)
class Access:
    """Access to the broker. heartbeat_s: None for the broker's suggestion, 0 for no heartbeats."""

    uri: Uri
    heartbeat_s: int | None = None
    tls: Tls = field(default_factory=Tls)
    #: Log in with the certificate instead of user and password.
    external: bool = False
    timeout_s: float = 10.0


def product_of(server_properties: Table) -> str:
    """Return a broker's name and version, such as "RabbitMQ 4.0.5". amqpbroker is recognised by its own property."""
    values = [server_properties.get(key, longstr("")).value for key in (OWN_NAME, "product", "version")]
    own_version, product, version = (text(value) if isinstance(value, bytes) else "" for value in values)
    return f"{OWN_NAME} {own_version}" if own_version else f"{product} {version}".strip()


class Client:
    """One connection. All methods raise PerfError, with the broker's text if it closed the connection or channel."""

    def __init__(self, access: Access, name: str = "amqpbroker perf") -> None:
        self.access = access
        self.frame_max = FRAME_MAX
        self.channel_max = 0
        self.heartbeat_s = 0
        self.server_properties: Table = {}
        self.reader = FrameReader(FRAME_MAX)
        #: Methods received while the connection was being closed.
        self.passed_over: Counter[str] = Counter()
        with self._explained("connecting"):
            self.socket = self._connected()
        try:
            with self._explained("logging in"):
                self._log_in(name)
        except BaseException:
            self.socket.close()
            raise

    @property
    def product(self) -> str:
        """Name and version of the broker."""
        return product_of(self.server_properties)

    def open_channel(self, number: int = 1) -> None:
        self.call("channel.open", number)

    def call(self, method: str, channel: int = 1, **arguments: Any) -> dict[str, Any]:
        """Send a method and return the arguments of its -ok."""
        with self._explained(method):
            self.send(frames.frame(frames.METHOD, channel, methods.encode(method, **arguments)))
            return self._wait(f"{method}-ok")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def close(self, timeout_s: float = 5.0) -> bool:
        """Close in order, and ignore further methods. Return whether the broker answered in time."""
        deadline = time.monotonic() + timeout_s
        try:
            self.socket.settimeout(timeout_s)
            arguments = {"reply_code": 200, "reply_text": "done"}
            self.send(frames.frame(frames.METHOD, 0, methods.encode("connection.close", **arguments)))
            while True:
                method, _ = self._method(deadline)
                if method == "connection.close-ok":
                    return True
                self.passed_over[method] += 1
        except (OSError, ValueError, PerfError):
            return False
        finally:
            self.socket.close()

    def drop(self) -> None:
        self.socket.close()

    def _connected(self) -> socket.socket:
        uri = self.access.uri
        sock = socket.create_connection((uri.host, uri.port), self.access.timeout_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not uri.tls:
            return sock
        try:
            return self.access.tls.context().wrap_socket(sock, server_hostname=uri.host)
        except BaseException:
            sock.close()
            raise

    def _log_in(self, name: str) -> None:
        access = self.access
        self.send(PROTOCOL_HEADER)
        start = self._wait("connection.start")
        self.server_properties = start["server_properties"]
        mechanism = "EXTERNAL" if access.external else "PLAIN"
        login = Login(
            client_properties("amqpbroker perf", name),
            (mechanism,),
            access.uri.user,
            access.uri.password,
            lambda suggested_s: suggested_s if access.heartbeat_s is None else access.heartbeat_s,
            CHANNEL_MAX,
        )
        try:
            self.send(login.start_ok(start))
        except MechanismError as error:
            offered = ", ".join(error.offered)
            raise PerfError(
                f"the broker does not accept the login mechanism {mechanism}; it offers {offered}"
            ) from None
        tuned = login.tuned(self._wait("connection.tune"))
        self.channel_max, self.frame_max, self.heartbeat_s = tuned
        self.send(tuned.frame())
        self._send_method("connection.open", virtual_host=access.uri.vhost)
        self._wait("connection.open-ok")

    def _send_method(self, method: str, **arguments: Any) -> None:
        self.send(frames.frame(frames.METHOD, 0, methods.encode(method, **arguments)))

    def _wait(self, awaited: str) -> dict[str, Any]:
        deadline = time.monotonic() + self.access.timeout_s
        while True:
            method, arguments = self._method(deadline)
            if method == awaited:
                return arguments
            if method in ("connection.close", "channel.close"):
                if method == "connection.close":
                    self._send_method("connection.close-ok")
                else:
                    self.close(ABANDON_S)
                raise refusal(method, arguments)

    def _method(self, deadline: float) -> tuple[str, dict[str, Any]]:
        """Return the next method frame, and skip other frames."""
        while True:
            kind, payload = self._frame(deadline)
            if kind == frames.METHOD:
                method = methods.METHODS.get(int.from_bytes(payload[:4], "big"))
                if method is not None:
                    return method.name, methods.decode(method, payload, any_bytes=True)

    def _frame(self, deadline: float) -> tuple[int, bytes]:
        while True:
            try:
                found = next(self.reader.frames(), None)
            except ProtocolHeaderError:
                raise PerfError("the broker does not speak AMQP 0-9-1") from None
            except MalformedError:
                raise PerfError("the server at this address does not speak AMQP 0-9-1") from None
            if found is not None:
                return found[0], found[2]
            if time.monotonic() > deadline:
                raise TimeoutError
            more = self.socket.recv(1 << 16)
            if not more:
                raise PerfError(f"the broker closed the connection without a word{self._hint()}")
            self.reader.feed(more)

    def _hint(self) -> str:
        """Return what may be wrong if the broker ends the connection before its first method."""
        if self.server_properties:
            return ""
        if not self.access.uri.tls:
            return "; if it expects TLS there, write amqps://"
        return "" if self.access.tls.certfile else "; if it wants a certificate, name it with --certfile"

    def _explained(self, doing: str) -> AbstractContextManager[None]:
        return explained(self.access.uri.address, doing, self.access.timeout_s, self._hint)


class SoleClient:
    """A client that is plain data until it is opened."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._client: Client | None = None

    def open(self) -> str:
        """Connect, and open channel 1. Return the broker's name and version. Raises PerfError."""
        self._client = Client(self._access, "perf")
        self._client.open_channel()
        return self._client.product

    @property
    def client(self) -> Client:
        """The client, once it is opened."""
        assert self._client is not None
        return self._client

    def abandon(self) -> None:
        """Close the client after an error, if it is open."""
        if self._client is not None:
            self._client.close(ABANDON_S)
