"""From the protocol header to connection.open-ok (AMQP 0-9-1 section 2.2.4, rabbit_reader.erl)."""

from typing import TYPE_CHECKING, Any

from amqpbroker import __version__, errors
from amqpbroker.amqp import connection_log
from amqpbroker.amqp.ending import SILENT_CLOSE_DELAY_MS
from amqpbroker.amqp.sasl import ANONYMOUS, EXTERNAL, MECHANISMS, Credentials, external
from amqpbroker.broker.users.logins import AMQP
from amqpbroker.config.identity import OWN_NAME
from amqpbroker.errors import AmqpError
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame
from amqpbroker.wire.values import Field, MalformedError, Table, longstr

if TYPE_CHECKING:
    from amqpbroker.amqp.connection import Connection
    from amqpbroker.broker.users.users import User

#: What the broker can do beyond AMQP 0-9-1, as RabbitMQ announces it.
CAPABILITIES = (
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
)


class Handshake:
    """The methods before a connection is open, in the only order they may come.

    authenticated: the client has logged in and, unless RabbitMQ's release tells it already what is wrong with its
    limits, agreed on these; errors are told to it.
    """

    def __init__(self, connection: "Connection") -> None:
        self.authenticated: bool = False
        self._connection = connection
        self._next = {
            "connection.start-ok": Handshake._start_ok,
        }
        self._send(
            "connection.start",
            version_major=0,
            version_minor=9,
            server_properties=self._server_properties(),
            mechanisms=" ".join(self._mechanisms()),
            locales="en_US",
        )

    def _send(self, name: str, **arguments: Any) -> None:
        self._connection.write(frame(METHOD, 0, methods.encode(name, **arguments)))

    def handle(self, name: str, arguments: dict[str, Any]) -> None:
        """A method on channel 0. Raises AmqpError, MalformedError."""
        step = self._next.get(name)
        if step is None:
            raise errors.channel_error("unexpected method during the handshake")
        step(self, arguments)

    def _server_properties(self) -> Table:
        """Server properties of RabbitMQ, in its order, and a last one by which clients can recognise this broker."""
        config = self._connection.broker.config
        identity = config.identity
        return {
            "capabilities": Field("F", {name: Field("t", True) for name in CAPABILITIES}),
            "cluster_name": longstr(self._connection.broker.cluster_name),
            "copyright": longstr(identity.copyright),
            "information": longstr(identity.information),
            "platform": longstr(identity.platform),
            "product": longstr(config.product_name),
            "version": longstr(config.product_version),
            OWN_NAME: longstr(__version__),
        }

    def _start_ok(self, arguments: dict[str, Any]) -> None:
        connection = self._connection
        connection.client_properties = arguments["client_properties"]
        capabilities = connection.client_properties.get("capabilities")
        if capabilities is not None and capabilities.kind == "F":
            connection.capabilities = frozenset(
                name for name, field in capabilities.value.items() if field.kind == "t" and field.value
            )
        connection_log.named(connection)
        mechanism = arguments["mechanism"]
        if mechanism not in self._mechanisms():
            raise MalformedError(f"{mechanism!r} is none of the authentication mechanisms offered")
        connection.mechanism = mechanism
        user = self._log_in(mechanism, arguments["response"])
        if user is None:
            self._refuse(errors.login_refused(mechanism))
            return
        connection.user = user
        config = connection.broker.config
        self._next = {"connection.tune-ok": Handshake._tune_ok}
        self._send(
            "connection.tune",
            channel_max=config.channel_max,
            frame_max=config.frame_max,
            heartbeat=config.heartbeat_s,
        )

    def _mechanisms(self) -> list[str]:
        """Those offered. A certificate can be shown by TLS only; whether one was shown, the login tells."""
        config, tls = self._connection.broker.config, self._connection.peer.tls
        if self._connection.peer.user is not None:
            return [EXTERNAL]
        missing = {EXTERNAL: tls is None, ANONYMOUS: config.anonymous_login_user is None}
        return [name for name in config.auth_mechanisms if not missing.get(name)]

    def _anonymous(self) -> Credentials:
        config = self._connection.broker.config
        return Credentials(config.anonymous_login_user or "", config.anonymous_login_pass.encode())

    def _log_in(self, mechanism: str, response: bytes) -> "User | None":
        """None if it is refused. Raises MalformedError for a response that is none."""
        connection = self._connection
        logins, host = connection.broker.logins, connection.peer.host
        if connection.peer.user is not None:
            return connection.peer.user
        if mechanism == EXTERNAL:
            certificate = connection.peer.tls.certificate if connection.peer.tls is not None else None
            name = external(certificate, connection.broker.config)
            user = logins.by_certificate(name, host, AMQP)
        else:
            credentials = self._anonymous() if mechanism == ANONYMOUS else MECHANISMS[mechanism](response)
            name = credentials.username
            user = logins.by_password(name, credentials.password, host, AMQP)
        if user is None:
            connection_log.refused(connection, mechanism, name)
            connection.broker.events.authentication_failed(name, mechanism, connection.peer)
        else:
            connection.broker.events.authentication_succeeded(name, mechanism, connection.peer)
        return user

    def _refuse(self, error: AmqpError) -> None:
        """A failed login is told only to clients that announced authentication_failure_close."""
        connection = self._connection
        if connection.knows("authentication_failure_close"):
            self._send("connection.close", reply_code=error.code, reply_text=error.text, class_id=0, method_id=0)
            connection.ending.refused(connection)
        else:
            connection.ending.linger(connection, SILENT_CLOSE_DELAY_MS)

    def _tune_ok(self, arguments: dict[str, Any]) -> None:
        connection = self._connection
        config = connection.broker.config
        self.authenticated = config.compat.tells_tune_errors
        channel_max = _within("channel_max", arguments["channel_max"], config.channel_max)
        frame_max = _within("frame_max", arguments["frame_max"], config.frame_max)
        if 0 < frame_max < config.compat.frame_min:
            raise errors.not_allowed(
                f"negotiated frame_max = {frame_max} is lower than the minimum allowed value"
                f" ({config.compat.frame_min})"
            )
        connection.tuned(channel_max, frame_max, arguments["heartbeat"])
        self._next = {"connection.open": Handshake._open}
        self.authenticated = True

    def _open(self, arguments: dict[str, Any]) -> None:
        connection = self._connection
        broker = connection.broker
        limit = broker.config.max_connections
        if limit and len(broker.sessions) >= limit:
            raise errors.node_connection_limit(limit)
        user = connection.user.name
        connection.vhost = broker.vhost(arguments["virtual_host"])
        broker.limits.check_vhost_connections(connection.vhost.name, user)
        broker.limits.check_user_connections(user)
        connection.permissions = broker.users.permissions(connection.user, connection.vhost.name)
        broker.sessions[connection] = None
        broker.limits.connection_opened(connection.vhost.name, user)
        for totals in (connection.vhost.octets, broker.totals.octets):
            totals.add(connection)
        broker.totals.churn.connection_created += 1
        self._send("connection.open-ok")
        connection.channel_zero.opened(connection)


def _within(name: str, value: int, limit: int) -> int:
    """A negotiated limit; 0 is none. Raises AmqpError 530 when it is wider than the server's."""
    if limit and (value == 0 or value > limit):
        shown = "0 (no limit)" if value == 0 else str(value)
        raise errors.not_allowed(f"negotiated {name} = {shown} is higher than the maximum allowed value ({limit})")
    return value
