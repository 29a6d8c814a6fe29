"""What is logged of a connection and its channels, in RabbitMQ's words (rabbit_reader.erl, rabbit_channel.erl).

Each record has what it is about as attributes too: pid, connection, vhost, user, channel. No record has a password.
"""

import itertools
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from amqpbroker.errors import REPLY_CODES, AmqpError
from amqpbroker.wire import methods
from amqpbroker.wire.erlang import erlang_binary
from amqpbroker.wire.values import text

if TYPE_CHECKING:
    from amqpbroker.amqp.connection import Connection

CONNECTION = logging.getLogger("amqpbroker.connection")
CHANNEL = logging.getLogger("amqpbroker.channel")

#: Numbers of connections, by which the lines about one can be told together.
numbers = itertools.count(1)


class Cause(NamedTuple):
    """Why a connection ends; without a reason it does so in order."""

    level: int
    reason: str = ""


IN_ORDER = Cause(logging.INFO)
CLIENT_GONE = Cause(logging.WARNING, "client unexpectedly closed TCP connection")
NOTHING_CAME = Cause(logging.DEBUG, "connection_closed_with_no_data_received")
TIMED_OUT = Cause(logging.ERROR, "{handshake_timeout,handshake}")
TORN_FRAMES = Cause(logging.ERROR, "fatal_frame_error")


def bad_header(data: bytes) -> Cause:
    """What came is not how AMQP begins."""
    return Cause(logging.ERROR, f"{{bad_header,{erlang_binary(data[:8])}}}")


def missed_heartbeats(interval_s: int) -> Cause:
    return Cause(logging.ERROR, f"missed heartbeats from client, timeout: {interval_s}s")


def accepting(connection: "Connection", level: int = logging.INFO) -> None:
    if CONNECTION.isEnabledFor(level):
        CONNECTION.log(level, "accepting AMQP connection %s", connection.peer.name, extra=_fields(connection))


def named(connection: "Connection") -> None:
    """The client has said what it calls itself, if it has."""
    name = _given_name(connection)
    if name is not None and CONNECTION.isEnabledFor(logging.INFO):
        CONNECTION.info(
            "connection %s has a client-provided name: %s", connection.peer.name, name, extra=_fields(connection)
        )


def granted(connection: "Connection") -> None:
    if CONNECTION.isEnabledFor(logging.INFO):
        CONNECTION.info(
            "connection %s: user '%s' authenticated and granted access to vhost '%s'",
            _name(connection),
            connection.user.name,
            connection.vhost.name,
            extra=_fields(connection),
        )


def refused(connection: "Connection", mechanism: str, user: str) -> None:
    """A login has failed; without a name there was no certificate, or none in it. The reason is for the log only."""
    tls = connection.peer.tls
    if user or mechanism != "EXTERNAL":
        reason = f"user '{user}' - invalid credentials"
    elif tls is None or tls.certificate is None:
        reason = "connection peer presented no TLS (x.509) certificate"
    else:
        reason = "no name found"
    CONNECTION.error(
        "Error on AMQP connection %s (%s, state: starting):\n%s login refused: %s",
        _pid(connection),
        _name(connection),
        mechanism,
        reason,
        extra=_fields(connection),
    )


def handshake_failed(connection: "Connection", state: str, explanation: str) -> None:
    """An error before the connection is open."""
    CONNECTION.error(
        "Error on AMQP connection %s (%s, state: %s):\n%s",
        _pid(connection),
        _whose(connection),
        state,
        explanation,
        extra=_fields(connection),
    )


def connection_failed(connection: "Connection", channel: int, ids: int, error: AmqpError) -> None:
    """A connection error. That the broker ends is none of the client's."""
    level = logging.INFO if error.code == 320 else logging.ERROR
    if CONNECTION.isEnabledFor(level):
        CONNECTION.log(
            level,
            "Error on AMQP connection %s (%s, state: running), channel %d:\n"
            ' operation %s caused a connection exception %s: "%s"',
            _pid(connection),
            _whose(connection),
            channel,
            _operation(ids),
            REPLY_CODES[error.code][0].lower(),
            error.explanation,
            extra=_fields(connection),
        )


def channel_failed(connection: "Connection", channel: int, ids: int, error: AmqpError) -> None:
    if CHANNEL.isEnabledFor(logging.ERROR):
        CHANNEL.error(
            "Channel error on connection %s (%s, vhost: '%s', user: '%s'), channel %d:\n"
            "operation %s caused a channel exception %s: %s",
            _pid(connection),
            connection.peer.name,
            connection.vhost.name,
            connection.user.name,
            channel,
            _operation(ids),
            REPLY_CODES[error.code][0].lower(),
            error.explanation,
            extra=_fields(connection, channel),
        )


def closing(connection: "Connection", cause: Cause) -> None:
    if not CONNECTION.isEnabledFor(cause.level):
        return
    whose, duration = _whose(connection), _duration(max(0, connection.clock.wall_ms() - connection.connected_at))
    if cause.reason:
        CONNECTION.log(
            cause.level,
            "closing AMQP connection %s (%s, duration: '%s'):\n%s",
            _pid(connection),
            whose,
            duration,
            cause.reason,
            extra=_fields(connection),
        )
    else:
        CONNECTION.log(
            cause.level, "closing AMQP connection (%s, duration: '%s')", whose, duration, extra=_fields(connection)
        )


def _pid(connection: "Connection") -> str:
    """In the form of an Erlang process, which is what readers of such logs look for."""
    return f"<0.{connection.serial}.0>"


def _given_name(connection: "Connection") -> str | None:
    name = connection.client_properties.get("connection_name")
    return text(name.value) if name is not None and name.kind == "S" else None


def _name(connection: "Connection") -> str:
    name = _given_name(connection)
    return connection.peer.name if name is None else f"{connection.peer.name} - {name}"


def _whose(connection: "Connection") -> str:
    """The connection with vhost and user, as far as they are known."""
    user, vhost = getattr(connection, "user", None), getattr(connection, "vhost", None)
    known = f", vhost: '{vhost.name}'" if vhost is not None else ""
    return _name(connection) + known + (f", user: '{user.name}'" if user is not None else "")


def _operation(ids: int) -> str:
    method = methods.METHODS.get(ids)
    return "none" if method is None else method.name


def _fields(connection: "Connection", channel: int | None = None) -> dict[str, Any]:
    user, vhost = getattr(connection, "user", None), getattr(connection, "vhost", None)
    fields = {
        "pid": _pid(connection),
        "connection": connection.peer.name,
        "connection_name": _given_name(connection),
        "vhost": vhost.name if vhost is not None else None,
        "user": user.name if user is not None else None,
        "channel": channel,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _duration(ms: int) -> str:
    if ms < 1000:
        return f"{ms}ms"
    minutes, seconds = divmod(ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{number}{unit}" for number, unit in ((days, "D"), (hours, "H"), (minutes, "M"))]
    first = next((at for at, part in enumerate(parts) if part[0] != "0"), len(parts))
    return ", ".join([*parts[first:], f"{seconds}s"])
