"""The answers of a channel: methods to the client, some of which wait until the store is synced."""

from collections import deque
from typing import Final, final

from amqpbroker.amqp.confirms import Confirms
from amqpbroker.amqp.output import AwaitingSync, Output
from amqpbroker.config.bounds import Bounds
from amqpbroker.store.store import Store
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame

#: Memory that an answer takes while it waits, besides its bytes.
HOLDING: Final = 128


@final
class Answers(AwaitingSync):
    """Writes the answers and confirms of one channel in order.

    confirms: None until confirm.select.
    """

    def __init__(self, output: Output, store: Store, number: int, bounds: Bounds) -> None:
        super().__init__()
        self.confirms: Confirms | None = None
        self._output = output
        self._store = store
        self._number: int = number
        self._most_ahead: int = bounds.confirms_ahead
        self._held: deque[tuple[int, bytes]] = deque()

    def send(self, name: str, **arguments: object) -> None:
        """Write one method, such as `send("queue.declare-ok", queue="q")`, after answers that wait for the store."""
        data = frame(METHOD, self._number, methods.encode(name, **arguments))
        if self._held:
            self._hold(self._held[-1][0], data)
        else:
            self._output.write(data)

    def send_when_synced(self, name: str, **arguments: object) -> None:
        """Write one method once everything appended to the store so far is synced."""
        self._send_when(self._store.appended, name, arguments)

    def send_when_defined(self, name: str, **arguments: object) -> None:
        """Write one method once the definitions changed so far survive the end of the broker."""
        self._send_when(self._store.defined, name, arguments)

    def _send_when(self, until: int, name: str, arguments: dict[str, object]) -> None:
        """Write one method once the store is synced up to `until`."""
        if until <= self._store.synced:
            self.send(name, **arguments)
            return
        self._hold(until, frame(METHOD, self._number, methods.encode(name, **arguments)))
        if not self.awaiting_sync:
            self.await_sync()

    def _hold(self, until: int, data: bytes) -> None:
        """Write `data` once the store is synced up to `until`; until then its memory counts as waiting for the disk."""
        if self._held:
            until = max(until, self._held[-1][0])
        self._held.append((until, data))
        self._store.count_answer(len(data) + HOLDING)

    def await_sync(self) -> None:
        """Register with the output, which collects due answers at the end of each event loop iteration."""
        self.awaiting_sync = True
        self._output.await_sync(self)

    def take_synced(self) -> bytes:
        confirms = self.confirms
        frames = confirms.flush() if confirms is not None else b""
        while self._held and self._held[0][0] <= self._store.synced:
            frames += self._held.popleft()[1]
        self.awaiting_sync = bool(self._held) or (confirms is not None and confirms.outstanding)
        return frames

    # --- confirms ---------------------------------------------------------------------------------------------------

    def select_confirms(self) -> None:
        """Confirm publishes from now on."""
        if self.confirms is None:
            self.confirms = Confirms(self._number, self._store, self._most_ahead)

    def confirm(self, accepted: bool) -> None:
        """Confirm a publish once it is safe. accepted: False if a queue refused it."""
        confirms = self.confirms
        if confirms is not None:
            confirms.number(accepted)
            if not self.awaiting_sync:
                self.await_sync()

    def write_due_confirms(self) -> None:
        """Write the confirms that are due by now."""
        if self.confirms is not None and self.awaiting_sync:
            self._write(self.confirms.flush())

    def confirm_unroutable(self) -> None:
        """Confirm a publish that reached no queue, immediately."""
        if self.confirms is not None:
            self._write(self.confirms.confirm_next())

    def _write(self, frames: bytes) -> None:
        if frames:
            self._output.write(frames)
