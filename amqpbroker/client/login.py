"""The client side of a login: its answers to connection.start and connection.tune."""

import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import amqpbroker
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame
from amqpbroker.wire.values import Field, Table, encode_table, longstr

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"

#: Largest frame size that a client agrees to; a frame of that size fits into every buffer.
FRAME_MAX = 131072

#: Capabilities of clients that use this package.
CAPABILITIES = (
    "publisher_confirms",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "authentication_failure_close",
)


class LinkError(Exception):
    """The connection is closed, or cannot be opened; the text gives the reason, without secrets."""


class MechanismError(LinkError):
    """The broker offers none of the client's authentication mechanisms. offered: the broker's mechanisms."""

    def __init__(self, wanted: tuple[str, ...], offered: list[str]) -> None:
        super().__init__(f"the broker offers none of the mechanisms {', '.join(wanted)}")
        self.offered = offered


class Tuned(NamedTuple):
    """Negotiated limits of a connection. channel_max: 0 means no limit. heartbeat: in seconds, 0 means off."""

    channel_max: int
    frame_max: int
    heartbeat: int

    def frame(self) -> bytes:
        """Return connection.tune-ok."""
        return frame(METHOD, 0, methods.encode("connection.tune-ok", **self._asdict()))


@dataclass(frozen=True)
class Login:
    """The parameters of a login.

    properties: client properties, see `client_properties`. mechanisms: in order of preference. channel_max, frame_max:
    limits of the client, 0 means none. heartbeat: function from the broker's interval to the one to use.
    """

    properties: Table
    mechanisms: tuple[str, ...]
    user: str
    password: str = field(repr=False)
    heartbeat: Callable[[int], int]
    channel_max: int = 0
    frame_max: int = 0

    def start_ok(self, start: dict[str, Any]) -> bytes:
        """Return connection.start-ok. start: arguments of connection.start. Raises MechanismError."""
        offered = start["mechanisms"].decode("ascii", "replace").split()
        mechanism = next((each for each in self.mechanisms if each in offered), None)
        if mechanism is None:
            raise MechanismError(self.mechanisms, offered)
        method = methods.encode(
            "connection.start-ok",
            client_properties=self.properties,
            mechanism=mechanism,
            response=self._response(mechanism),
            locale="en_US",
        )
        return frame(METHOD, 0, method)

    def tuned(self, tune: dict[str, Any]) -> Tuned:
        """Return the limits to use. tune: arguments of connection.tune."""
        return Tuned(
            agreed(tune["channel_max"], self.channel_max),
            agreed(agreed(tune["frame_max"], self.frame_max), FRAME_MAX),
            self.heartbeat(tune["heartbeat"]),
        )

    def _response(self, mechanism: str) -> bytes:
        match mechanism:
            case "PLAIN":
                return f"\0{self.user}\0{self.password}".encode()
            case "AMQPLAIN":
                return encode_table({"LOGIN": longstr(self.user), "PASSWORD": longstr(self.password)})[4:]
            case _:
                return b""


def client_properties(product: str, name: str) -> Table:
    """Return the properties of a client and its connection, which the broker displays."""
    return {
        "product": longstr(product),
        "version": longstr(amqpbroker.__version__),
        "platform": longstr(f"Python {platform.python_version()}"),
        "connection_name": longstr(name),
        **announced(CAPABILITIES),
    }


def announced(names: Iterable[str]) -> Table:
    """Return the client property that announces capabilities."""
    return {"capabilities": Field("F", {name: Field("t", True) for name in names})}


def agreed(theirs: int, ours: int) -> int:
    """Return the smaller limit, where 0 means no limit (amqp_main_reader: negotiate)."""
    return min(theirs, ours) if theirs and ours else max(theirs, ours)
