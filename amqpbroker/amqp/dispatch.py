"""Dispatch of frames that the frame loop does not handle itself."""

from typing import TYPE_CHECKING, Final, final

from amqpbroker import errors
from amqpbroker.amqp.blocking import Blocking
from amqpbroker.amqp.channel import Channel
from amqpbroker.amqp.channel_zero import ChannelZero
from amqpbroker.amqp.channels import CHANNEL_CLOSE, CHANNEL_OPEN, Channels
from amqpbroker.amqp.client import Client
from amqpbroker.amqp.closing import Closing
from amqpbroker.amqp.content import Content
from amqpbroker.amqp.decoding import UnblamedError, arguments_of, frame_text, unusable
from amqpbroker.amqp.methods import HANDLERS
from amqpbroker.amqp.registration import Registration
from amqpbroker.amqp.state import Status
from amqpbroker.broker.events.events import INTERNAL
from amqpbroker.errors import AmqpError
from amqpbroker.message.pieces import Pieces
from amqpbroker.wire import methods
from amqpbroker.wire.frames import BODY, HEADER, HEARTBEAT, METHOD
from amqpbroker.wire.values import MalformedError

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker

#: Frame types with the minimum size of their payloads in bytes.
_LEAST: Final = {METHOD: 4, HEADER: 12, BODY: 0, HEARTBEAT: 0}

_PUBLISH: Final = 60 << 16 | 40


@final
class Dispatch:
    """Passes frames off the hot path to the part of the connection that handles them.

    No method raises: an error closes the channel or the connection.
    """

    def __init__(
        self,
        broker: "Broker",
        status: Status,
        client: Client,
        channels: Channels,
        blocking: Blocking,
        registration: Registration,
        closing: Closing,
        channel_zero: ChannelZero,
    ) -> None:
        self._events = broker.events
        self._max_message_size: int = broker.config.max_message_size
        self._status = status
        self._client = client
        self._channels = channels
        self._blocking = blocking
        self._registration = registration
        self._closing = closing
        self._channel_zero = channel_zero
        #: Ids of the method that an error is attributed to; 0 for none.
        self._blamed: int = 0

    def method(self, channel: Channel, ids: int, payload: bytes) -> None:
        """Handle a method on an open channel that is off the hot path."""
        self._blamed = ids
        try:
            self._method(channel, ids, payload)
        except AmqpError as error:
            self._fail(error, channel.number)
        except MalformedError as error:
            self._fail(errors.syntax_error(str(error)), channel.number)

    def other(self, kind: int, number: int, channel: Channel | None, payload: bytes) -> None:
        """Handle a frame that is not a method of an open channel, or is not expected now."""
        self._blamed = 0
        try:
            self._other(kind, number, channel, payload)
        except AmqpError as error:
            self._fail(error, number)
        except MalformedError as error:
            self._fail(errors.syntax_error(str(error)), number)

    def body(self, channel: Channel, pending: Content, pieces: Pieces, size: int) -> None:
        """Handle a body frame of `size` bytes that arrived in pieces, when a body frame is expected."""
        self._blamed = _PUBLISH
        try:
            self._content_received(channel, pending, pending.feed_body(pieces, size))
        except AmqpError as error:
            self._fail(error, channel.number)
        except MalformedError as error:
            self._fail(errors.syntax_error(str(error)), channel.number)

    def _fail(self, error: AmqpError, number: int) -> None:
        self._closing.fail(error, number, 0 if isinstance(error, UnblamedError) else self._blamed)

    def _method(self, channel: Channel, ids: int, payload: bytes) -> None:
        """Handle a method. Raises AmqpError, MalformedError."""
        method = methods.METHODS.get(ids)
        if method is None:
            raise errors.not_implemented(f"unknown method {ids >> 16}.{ids & 0xFFFF}")
        arguments = arguments_of(self._status.state, method, payload)
        if ids == CHANNEL_CLOSE:
            self._channels.close(channel)
            channel.send("channel.close-ok")
            return
        if ids == CHANNEL_OPEN:
            raise errors.channel_error("second 'channel.open' seen")
        handler = HANDLERS.get(method.name)
        if handler is None:
            raise errors.command_invalid("unimplemented method")
        events = self._events
        events.act_as(self._client.user.name)
        try:
            handler(channel, arguments)
        finally:
            events.act_as(INTERNAL)

    def _other(self, kind: int, number: int, channel: Channel | None, payload: bytes) -> None:
        """Handle another frame. Raises AmqpError, MalformedError."""
        state = self._status.state
        if number and not state.refusal:
            return
        if len(payload) < _LEAST.get(kind, len(payload) + 1):
            raise unusable(state, kind, payload, "unknown_frame")
        if kind == HEARTBEAT:
            if number:
                raise errors.unexpected_frame(frame_text(state, kind, payload))
            if payload:
                raise unusable(state, kind, payload, "unknown_frame")
            return
        ids = int.from_bytes(payload[:4], "big") if kind == METHOD else 0
        if number == 0 and kind == METHOD:
            self._blamed = ids
            self._channel_zero.handle(ids, payload)
        elif number == 0 or not state.open:
            raise errors.unexpected_frame(frame_text(state, kind, payload))
        elif channel is not None:
            self._content(kind, channel, payload)
        elif number in self._channels.shut:
            self._blamed = ids
            self._channels.pass_over(number, ids)
        elif kind != METHOD:
            raise errors.unexpected_frame("expected method frame, got non method frame instead")
        else:
            self._blamed = ids
            # The arguments of unknown methods are not parsed.
            method = methods.METHODS.get(ids)
            if method is not None:
                arguments_of(state, method, payload)
            if ids != CHANNEL_OPEN:
                raise errors.channel_error("expected 'channel.open'")
            self._blamed = 0
            self._channels.open(self._registration.session, number, self._closing.fail)

    def _content(self, kind: int, channel: Channel, payload: bytes) -> None:
        """Handle a header or body frame on an open channel, or a method in place of one. Raises AmqpError."""
        pending = channel.publishing.content
        if pending is None:
            raise errors.unexpected_frame("expected method frame, got non method frame instead")
        self._blamed = _PUBLISH
        self._content_received(channel, pending, pending.feed(kind, payload, self._max_message_size))

    def _content_received(self, channel: Channel, pending: Content, complete: bool) -> None:
        if self._status.state.alarmed:
            self._blocking.published()
        if complete:
            publishing = channel.publishing
            publishing.end_content()
            if pending.too_large:
                publishing.refuse(pending.bits, pending.size)
            publishing.publish(pending.address, pending.bits, pending.properties or b"", pending.pieces(), 0, None)
