"""The beginning of a relayed connection to a leader: the greeting, and the client's handshake once more."""

import asyncio
import hmac
from collections.abc import Callable
from typing import Final, cast

from amqpbroker.cluster.peers.peer_port import NONCE_BYTES, PROOF_BYTES, proof
from amqpbroker.wire.frames import END, METHOD, OVERHEAD
from amqpbroker.wire.methods import BY_NAME

#: The client has these methods from the broker that relays, so that it must not get them again.
_DISCARDED: Final = ("connection.start", "connection.tune")
#: Bytes of a frame's head with the ids of a method, and the most bytes of a frame that is discarded.
_HEAD_BYTES: Final = 11
_MOST_FRAME_BYTES: Final = 16 * 1024


class LeaderLink(asyncio.Protocol):
    """Replays a handshake to a leader, and discards the leader's methods that the client has already.

    greeted: done when the leader has proven that it knows its secret. ready: done when everything is discarded, and
    reading is paused, or if the leader closes the connection instead. Both have an error, or None. rest: bytes for the
    client. lost: the socket is closed.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, secret: str, greet: Callable[[bytes], bytes], handshake: bytes
    ) -> None:
        """secret: of the leader. greet: returns the greeting for its random bytes; may raise ValueError.

        handshake: has a password, so that it is sent only after the proof.
        """
        self.greeted: asyncio.Future[Exception | None] = loop.create_future()
        self.ready: asyncio.Future[Exception | None] = loop.create_future()
        self.rest = b""
        self.lost = False
        self._secret = secret
        self._greet = greet
        self._proof = b""
        self._handshake = handshake
        self._discarded = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.rest += data
        try:
            if not self._proof:
                self._answer_nonce()
            if self._proof and not self.greeted.done():
                self._check_proof()
            if self.greeted.done():
                self._discard()
        except ValueError as error:
            self._end(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        # A leader that has begun may refuse the client in this way; before, it is as good as out of reach.
        self._end(None if self._discarded else ConnectionResetError("the leader has closed the connection"))

    def _answer_nonce(self) -> None:
        """Raises ValueError."""
        if len(self.rest) >= NONCE_BYTES and self._transport is not None:
            nonce, self.rest = self.rest[:NONCE_BYTES], self.rest[NONCE_BYTES:]
            greeting = self._greet(nonce)
            self._proof = proof(self._secret, greeting)
            self._transport.write(greeting)

    def _check_proof(self) -> None:
        """Raises ValueError."""
        if len(self.rest) >= PROOF_BYTES and self._transport is not None:
            given, self.rest = self.rest[:PROOF_BYTES], self.rest[PROOF_BYTES:]
            if not hmac.compare_digest(given, self._proof):
                raise ValueError("another process listens there, which does not know the leader's secret")
            self._transport.write(self._handshake)
            self._handshake = b""
            self.greeted.set_result(None)

    def _discard(self) -> None:
        """Discard complete methods. Raises ValueError for others than those expected."""
        while self._discarded < len(_DISCARDED):
            data = self.rest
            if len(data) < _HEAD_BYTES:
                return
            size = int.from_bytes(data[3:7], "big") + OVERHEAD
            ids = int.from_bytes(data[7:_HEAD_BYTES], "big")
            if data[0] != METHOD or data[1:3] != b"\0\0" or size > _MOST_FRAME_BYTES:
                raise ValueError("the leader answers with something else than AMQP")
            if len(data) < size:
                return
            if ids == BY_NAME["connection.close"].ids:
                self._end(None)
                return
            expected = _DISCARDED[self._discarded]
            if ids != BY_NAME[expected].ids or data[size - 1] != END:
                raise ValueError(f"the leader answers with another method than {expected}")
            self._discarded += 1
            self.rest = data[size:]
        self._end(None)

    def _end(self, error: Exception | None) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
        for future in (self.greeted, self.ready):
            if not future.done():
                future.set_result(error)
