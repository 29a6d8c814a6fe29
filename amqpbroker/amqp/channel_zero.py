"""Channel 0: the protocol header, and the methods of the connection itself."""

from amqpbroker import errors
from amqpbroker.amqp import connection_log
from amqpbroker.amqp.client import Client
from amqpbroker.amqp.closing import Closing
from amqpbroker.amqp.decoding import arguments_of
from amqpbroker.amqp.handover import Recording
from amqpbroker.amqp.handshake import Handshake
from amqpbroker.amqp.output import Output
from amqpbroker.amqp.state import Status
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame

_PROTOCOL_HEADER = b"AMQP\0\0\x09\x01"
#: An older protocol header for the same version; accepted as 0-9-1.
_PROTOCOL_HEADER_0_9 = b"AMQP\x01\x01\0\x09"


class ChannelZero:
    """Handles the methods of channel 0 that the connection's state allows."""

    __slots__ = ("_client", "_closing", "_handshake", "_output", "_recording", "_status")

    def __init__(
        self,
        status: Status,
        client: Client,
        output: Output,
        closing: Closing,
        handshake: Handshake,
        recording: Recording | None,
    ) -> None:
        self._status = status
        self._client = client
        self._output = output
        self._closing = closing
        self._handshake = handshake
        self._recording = recording

    def greet(self, data: bytes) -> int:
        """Handle the protocol header; a header other than AMQP 0-9-1 is answered with the supported version.

        Return the number of handled bytes: 0 if fewer than a whole header have arrived.
        """
        if len(data) < len(_PROTOCOL_HEADER):
            return 0
        connection_log.accepting(self._client)
        if data[: len(_PROTOCOL_HEADER)] not in (_PROTOCOL_HEADER, _PROTOCOL_HEADER_0_9):
            self._output.write(_PROTOCOL_HEADER)
            self._closing.finish(connection_log.bad_header(data))
            return len(data)
        if self._recording is not None:
            self._recording.add_header(data[: len(_PROTOCOL_HEADER)])
        self._handshake.start()
        return len(_PROTOCOL_HEADER)

    def handle(self, ids: int, payload: bytes) -> None:
        """Handle a method frame on channel 0. payload: all of it. Raises AmqpError, MalformedError."""
        state = self._status.state
        method = methods.METHODS.get(ids)
        name = "" if method is None else method.name
        if name not in state.acts_on and not state.refusal:
            return
        # A closing connection ignores the arguments of the client's connection.close.
        arguments = {} if method is None or not state.refusal else arguments_of(state, method, payload)
        if name not in state.acts_on:
            raise errors.channel_error(state.refusal)
        if name == "connection.close-ok":
            self._closing.finish()
        elif name == "connection.close":
            self._closing.agree()
        elif name == "connection.update-secret":
            self._output.write(frame(METHOD, 0, methods.encode("connection.update-secret-ok")))
        else:
            if self._recording is not None:
                self._recording.add_method(payload)
            self._handshake.handle(name, arguments)
