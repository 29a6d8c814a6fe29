"""From the protocol header to connection.open-ok (AMQP 0-9-1 section 2.2.4, rabbit_reader.erl)."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

from amqpbroker import __version__, errors
from amqpbroker.amqp import connection_log
from amqpbroker.amqp.blocking import Blocking
from amqpbroker.amqp.client import Client
from amqpbroker.amqp.closing import Closing
from amqpbroker.amqp.connection_log import log_failure
from amqpbroker.amqp.handover import Handover, OnElsewhere, Recording
from amqpbroker.amqp.heartbeat import Heartbeat
from amqpbroker.amqp.output import Output
from amqpbroker.amqp.registration import Registration
from amqpbroker.amqp.sasl import ANONYMOUS, EXTERNAL, MECHANISMS, Credentials, external
from amqpbroker.amqp.state import AUTHENTICATING, AUTHORIZING, HANDING_OVER, OPENING, STARTING, TUNING, State, Status
from amqpbroker.broker.users.auth_backend import Identified
from amqpbroker.broker.users.logins import AMQP
from amqpbroker.broker.users.permissions import Permissions
from amqpbroker.broker.users.users import User
from amqpbroker.config.identity import OWN_NAME
from amqpbroker.errors import AmqpError
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame
from amqpbroker.wire.values import Field, MalformedError, Table, longstr

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker

#: Extensions of AMQP 0-9-1 that the broker supports, as RabbitMQ announces them.
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

_OPEN: Final = 10 << 16 | 40


class Handshake:
    """Handles the methods before a connection is open, in the only allowed order; see the table in state.py.

    The backend may answer asynchronously who the client is and which permissions it has. Until then the connection is
    in a state in which no frame of the client is handled and its socket is not read. Nothing else waits. An answer is
    ignored if the connection has left that state meanwhile, because the connection was lost or the handshake timed out.
    """

    def __init__(
        self,
        broker: "Broker",
        status: Status,
        client: Client,
        output: Output,
        heartbeat: Heartbeat,
        blocking: Blocking,
        registration: Registration,
        closing: Closing,
        recording: Recording | None,
        on_elsewhere: OnElsewhere | None,
    ) -> None:
        """recording, on_elsewhere: None if this broker leads all vhosts, or the connection cannot be handed over."""
        self._broker = broker
        self._status = status
        self._client = client
        self._output = output
        self._heartbeat = heartbeat
        self._blocking = blocking
        self._registration = registration
        self._closing = closing
        self._recording = recording
        self._on_elsewhere = on_elsewhere

    def _send(self, name: str, **arguments: Any) -> None:
        self._output.write(frame(METHOD, 0, methods.encode(name, **arguments)))

    def start(self) -> None:
        """Answer the protocol header with connection.start."""
        self._status.enter(STARTING)
        self._send(
            "connection.start",
            version_major=0,
            version_minor=9,
            server_properties=self._server_properties(),
            mechanisms=" ".join(self._mechanisms()),
            locales="en_US",
        )

    def handle(self, name: str, arguments: dict[str, Any]) -> None:
        """Handle a method that the state allows. Raises AmqpError, MalformedError."""
        match name:
            case "connection.start-ok":
                self._start_ok(arguments)
            case "connection.tune-ok":
                self._tune_ok(arguments)
            case "connection.open":
                self._open(arguments)

    def _server_properties(self) -> Table:
        """Return RabbitMQ's server properties, in its order, and a last one by which this broker is recognised."""
        config = self._broker.config
        identity = config.identity
        return {
            "capabilities": Field("F", {name: Field("t", True) for name in CAPABILITIES}),
            "cluster_name": longstr(self._broker.cluster_name),
            "copyright": longstr(identity.copyright),
            "information": longstr(identity.information),
            "platform": longstr(identity.platform),
            "product": longstr(config.product_name),
            "version": longstr(config.product_version),
            OWN_NAME: longstr(__version__),
        }

    # --- authentication
    # -------------------------------------------------------------------------------------------------

    def _start_ok(self, arguments: dict[str, Any]) -> None:
        client = self._client
        client.introduced(arguments["client_properties"])
        connection_log.named(client)
        mechanism = arguments["mechanism"]
        if mechanism not in self._mechanisms():
            raise MalformedError(f"{mechanism!r} is none of the authentication mechanisms offered")
        client.chose(mechanism)
        self._identify(mechanism, arguments["response"])

    def _mechanisms(self) -> list[str]:
        """Return the mechanisms offered.

        EXTERNAL is offered on TLS connections, even if the client has sent no certificate. Behind a proxy, where TLS
        may have ended, it is offered only if there is a certificate.
        """
        config, peer = self._broker.config, self._client.peer
        if peer.user is not None:
            return [EXTERNAL]
        no_certificate = peer.tls is None or (peer.proxy_host != "" and peer.tls.certificate is None)
        missing = {EXTERNAL: no_certificate, ANONYMOUS: config.anonymous_login_user is None}
        return [name for name in config.auth_mechanisms if not missing.get(name)]

    def _anonymous(self) -> Credentials:
        config = self._broker.config
        return Credentials(config.anonymous_login_user or "", config.anonymous_login_pass.encode())

    def _identify(self, mechanism: str, response: bytes) -> None:
        """Authenticate the client. Raises MalformedError for an invalid response."""
        peer, logins = self._client.peer, self._broker.logins
        if peer.user is not None:
            self._status.enter(AUTHENTICATING)
            self._log_in(peer.user)
        elif mechanism == EXTERNAL:
            name = external(peer.tls.certificate if peer.tls is not None else None, self._broker.config)
            self._authenticate(name, partial(logins.identify_certified, name, peer.login_host, AMQP))
        else:
            credentials = self._anonymous() if mechanism == ANONYMOUS else MECHANISMS[mechanism](response)
            name = credentials.username
            self._authenticate(name, partial(logins.identify, name, credentials.password, peer.login_host, AMQP))

    def _authenticate(self, name: str, identify: Callable[[Identified], None]) -> None:
        """Check with `identify` whether the client may log in as the user `name`."""
        answer = self._answer(AUTHENTICATING, lambda user: self._identified(name, user))
        self._request(AUTHENTICATING, lambda: identify(answer))

    def _identified(self, name: str, user: User | None) -> None:
        """Handle the result of a login. name: of the requested user. user: None if the login is refused."""
        client, events = self._client, self._broker.events
        if user is None:
            connection_log.refused(client, client.mechanism, name)
            events.authentication_failed(name, client.mechanism, client.peer)
            self._closing.refuse(errors.login_refused(client.mechanism))
        else:
            events.authentication_succeeded(name, client.mechanism, client.peer)
            self._log_in(user)

    def _log_in(self, user: User) -> None:
        self._client.logged_in(user)
        config = self._broker.config
        self._status.enter(TUNING)
        self._send(
            "connection.tune",
            channel_max=config.channel_max,
            frame_max=config.frame_max,
            heartbeat=config.heartbeat_s,
        )

    # --- limits and vhost
    # -----------------------------------------------------------------------------------------------

    def _tune_ok(self, arguments: dict[str, Any]) -> None:
        config = self._broker.config
        if config.compat.tells_tune_errors:
            self._status.enter(OPENING)
        channel_max = _within("channel_max", arguments["channel_max"], config.channel_max)
        frame_max = _within("frame_max", arguments["frame_max"], config.frame_max)
        if 0 < frame_max < config.compat.frame_min:
            raise errors.not_allowed(
                f"negotiated frame_max = {frame_max} is lower than the minimum allowed value"
                f" ({config.compat.frame_min})"
            )
        self._client.tuned(channel_max, frame_max)
        self._output.limit_frames(frame_max)
        self._heartbeat.start(arguments["heartbeat"], self._closing.miss_heartbeats)
        self._status.enter(OPENING)

    def _open(self, arguments: dict[str, Any]) -> None:
        vhost = arguments["virtual_host"]
        if self._on_elsewhere is not None and self._broker.is_elsewhere(vhost):
            self._hand_over(vhost, self._on_elsewhere)
        else:
            self._authorize(vhost)

    def _authorize(self, vhost: str) -> None:
        """Ask for the client's permissions in the vhost, and open the connection then. Raises AmqpError."""
        client, logins = self._client, self._broker.logins
        self._look_up(vhost)
        answer = self._answer(AUTHORIZING, lambda permissions: self._permitted(vhost, permissions))
        inside = client.peer.user is not None
        self._request(AUTHORIZING, lambda: logins.permit(client.user, inside, vhost, answer))

    def _hand_over(self, vhost: str, on_elsewhere: OnElsewhere) -> None:
        """Hand the connection over to the broker that leads the vhost, which checks the limits and the permissions."""
        handshake = b"" if self._recording is None else self._recording.complete()
        serve = self._answer(HANDING_OVER, lambda _: self._authorize(vhost))
        handover = Handover(vhost, handshake, self._answer(HANDING_OVER, _refuse), partial(serve, None))
        self._request(HANDING_OVER, partial(on_elsewhere, handover))

    def _look_up(self, vhost: str) -> None:
        """Select the vhost. Raises AmqpError if it is not led here, or has as many connections as allowed."""
        if self._broker.is_elsewhere(vhost):
            raise errors.vhost_led_elsewhere(vhost)
        self._registration.check_node_limit()
        self._client.requested(self._broker.vhost(vhost))
        self._registration.check_limits()

    def _permitted(self, vhost: str, permissions: Permissions | None) -> None:
        """Open the connection, unless the vhost was deleted or a limit was reached while the backend was answering."""
        self._look_up(vhost)
        if permissions is None:
            raise errors.vhost_access_refused(vhost, self._client.user.name)
        self._client.permitted(permissions)
        if self._recording is not None:
            self._recording.discard()
        self._closing.opened()
        self._send("connection.open-ok")
        connection_log.granted(self._client)
        self._registration.announce()
        self._blocking.alarms_changed()

    # --- requests to the backend
    # ----------------------------------------------------------------------------------------

    def _request(self, state: State, request: Callable[[], None]) -> None:
        """Send a request to the backend, and handle no frame until it has answered."""
        self._status.enter(state)
        request()
        if self._status.state is state:
            self._heartbeat.pause_monitor()
            self._status.pause()

    def _answer(self, state: State, act: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return the callback for the backend's answer in this state."""

        def answer(given: Any) -> None:
            if self._status.state is not state:
                return
            # No method is handled while frames wait, so the connection was paused by this request if it is paused now.
            waited = self._status.paused
            try:
                act(given)
            except AmqpError as error:
                self._closing.fail(error, 0, _OPEN)
            except Exception:
                log_failure("on connection", self._client.name)
                self._closing.fail(errors.unforeseen(), 0, 0)
            if waited and not self._status.state.held:
                self._heartbeat.resume_monitor()
                self._output.mark_dirty()

        return answer


def _refuse(error: AmqpError) -> NoReturn:
    raise error


def _within(name: str, value: int, limit: int) -> int:
    """Return a negotiated limit; 0 means none. Raises AmqpError 530 if it exceeds the server's."""
    if limit and (value == 0 or value > limit):
        shown = "0 (no limit)" if value == 0 else str(value)
        raise errors.not_allowed(f"negotiated {name} = {shown} is higher than the maximum allowed value ({limit})")
    return value
