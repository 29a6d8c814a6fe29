"""Log records of a connection and its channels, in RabbitMQ's words (rabbit_reader.erl, rabbit_channel.erl).

Connections and channels close in steps. If a step raises, the exception is logged and the other steps still run.

Each record also has its subject as attributes: pid, connection, vhost, user, channel. No record has a password.
"""

import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from amqpbroker.amqp.client import Client
from amqpbroker.errors import REPLY_CODES, AmqpError
from amqpbroker.wire import methods
from amqpbroker.wire.erlang import erlang_binary

CONNECTION = logging.getLogger("amqpbroker.connection")
CHANNEL = logging.getLogger("amqpbroker.channel")
INTERNAL = logging.getLogger(__name__)

Step = Callable[[], object]


class Cause(NamedTuple):
    """The reason for which a connection ends; an empty one means an orderly close."""

    level: int
    reason: str = ""


IN_ORDER = Cause(logging.INFO)
CLIENT_GONE = Cause(logging.WARNING, "client unexpectedly closed TCP connection")
NOTHING_CAME = Cause(logging.DEBUG, "connection_closed_with_no_data_received")
TIMED_OUT = Cause(logging.ERROR, "{handshake_timeout,handshake}")
HANDED_OVER = Cause(logging.DEBUG, "handed over to the broker that leads its vhost")
TORN_FRAMES = Cause(logging.ERROR, "fatal_frame_error")


def bad_header(data: bytes) -> Cause:
    """Return the cause for input that does not begin with an AMQP protocol header."""
    return Cause(logging.ERROR, f"{{bad_header,{erlang_binary(data[:8])}}}")


def missed_heartbeats(interval_s: int) -> Cause:
    return Cause(logging.ERROR, f"missed heartbeats from client, timeout: {interval_s}s")


def accepting(client: Client, level: int = logging.INFO) -> None:
    if CONNECTION.isEnabledFor(level):
        CONNECTION.log(level, "accepting AMQP connection %s", client.peer.name, extra=_fields(client))


def named(client: Client) -> None:
    """Log the connection name that the client has set, if any."""
    name = client.given_name
    if name is not None and CONNECTION.isEnabledFor(logging.INFO):
        CONNECTION.info("connection %s has a client-provided name: %s", client.peer.name, name, extra=_fields(client))


def granted(client: Client) -> None:
    if CONNECTION.isEnabledFor(logging.INFO):
        CONNECTION.info(
            "connection %s: user '%s' authenticated and granted access to vhost '%s'",
            _name(client),
            client.user.name,
            client.vhost.name,
            extra=_fields(client),
        )


def refused(client: Client, mechanism: str, user: str) -> None:
    """Log a failed login.

    user: "" if the client presented no certificate, or the certificate has no name. The reason is only in the log.
    """
    tls = client.peer.tls
    if user or mechanism != "EXTERNAL":
        reason = f"user '{user}' - invalid credentials"
    elif tls is None or tls.certificate is None:
        reason = "connection peer presented no TLS (x.509) certificate"
    else:
        reason = "no name found"
    CONNECTION.error(
        "Error on AMQP connection %s (%s, state: starting):\n%s login refused: %s",
        _pid(client),
        _name(client),
        mechanism,
        reason,
        extra=_fields(client),
    )


def handshake_failed(client: Client, state: str, explanation: str) -> None:
    """Log an error before the connection is open."""
    CONNECTION.error(
        "Error on AMQP connection %s (%s, state: %s):\n%s",
        _pid(client),
        _whose(client),
        state,
        explanation,
        extra=_fields(client),
    )


def connection_failed(client: Client, channel: int, ids: int, error: AmqpError) -> None:
    """Log a connection error; if the broker shuts down, the level is lower, because the client has made no mistake."""
    level = logging.INFO if error.code == 320 else logging.ERROR
    if CONNECTION.isEnabledFor(level):
        CONNECTION.log(
            level,
            "Error on AMQP connection %s (%s, state: running), channel %d:\n"
            ' operation %s caused a connection exception %s: "%s"',
            _pid(client),
            _whose(client),
            channel,
            _operation(ids),
            REPLY_CODES[error.code][0].lower(),
            error.explanation,
            extra=_fields(client),
        )


def channel_failed(client: Client, channel: int, ids: int, error: AmqpError) -> None:
    if CHANNEL.isEnabledFor(logging.ERROR):
        CHANNEL.error(
            "Channel error on connection %s (%s, vhost: '%s', user: '%s'), channel %d:\n"
            "operation %s caused a channel exception %s: %s",
            _pid(client),
            client.peer.name,
            client.vhost.name,
            client.user.name,
            channel,
            _operation(ids),
            REPLY_CODES[error.code][0].lower(),
            error.explanation,
            extra=_fields(client, channel),
        )


def closing(client: Client, cause: Cause, wall_ms: int) -> None:
    """Log the end of a connection. wall_ms: the time by the wall clock."""
    if not CONNECTION.isEnabledFor(cause.level):
        return
    whose, duration = _whose(client), _duration(max(0, wall_ms - client.connected_at))
    if cause.reason:
        CONNECTION.log(
            cause.level,
            "closing AMQP connection %s (%s, duration: '%s'):\n%s",
            _pid(client),
            whose,
            duration,
            cause.reason,
            extra=_fields(client),
        )
    else:
        CONNECTION.log(
            cause.level, "closing AMQP connection (%s, duration: '%s')", whose, duration, extra=_fields(client)
        )


def _pid(client: Client) -> str:
    """Return an identifier in the format of an Erlang process id, which tools that read RabbitMQ's logs expect."""
    return f"<0.{client.number}.0>"


def _name(client: Client) -> str:
    name = client.given_name
    return client.peer.name if name is None else f"{client.peer.name} - {name}"


def _whose(client: Client) -> str:
    """Return the connection with vhost and user, as far as they are known."""
    user, vhost = getattr(client, "user", None), getattr(client, "vhost", None)
    known = f", vhost: '{vhost.name}'" if vhost is not None else ""
    return _name(client) + known + (f", user: '{user.name}'" if user is not None else "")


def _operation(ids: int) -> str:
    method = methods.METHODS.get(ids)
    return "none" if method is None else method.name


def _fields(client: Client, channel: int | None = None) -> dict[str, Any]:
    user, vhost = getattr(client, "user", None), getattr(client, "vhost", None)
    fields = {
        "pid": _pid(client),
        "connection": client.peer.name,
        "connection_name": client.given_name,
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


def run_all(steps: Iterable[Step], name: str) -> None:
    """Run each step. Never raises: an exception is logged with `name`, and the next step follows."""
    for step in steps:
        try:
            step()
        except Exception:
            log_failure("while closing", name)


def log_failure(when: str, name: str) -> None:
    """Log the exception that is being handled. Never raises, because logging itself may have failed."""
    with contextlib.suppress(Exception):
        INTERNAL.exception("internal error %s %s", when, name)
