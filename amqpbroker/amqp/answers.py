"""The answers of a channel: methods to the client, some of which wait until the store is synced."""

from collections import deque
from collections.abc import Callable
from functools import partial
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
class HeldAnswer:
    """An answer that waits. until: what the store must have synced. is_ready: nothing else has to happen before."""

    __slots__ = ("data", "is_ready", "until")

    def __init__(self, until: int, data: bytes) -> None:
        self.until: int = until
        self.data: bytes = data
        self.is_ready: bool = True

    def postpone(self) -> None:
        """Hold the answer until `release`."""
        self.is_ready = False

    def release(self, until: int) -> None:
        """Allow the answer to be written once the store has synced `until`, too."""
        self.is_ready = True
        self.until = max(self.until, until)


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
        self._held: deque[HeldAnswer] = deque()

    def send(self, name: str, **arguments: object) -> None:
        """Write one method, such as `send("queue.declare-ok", queue="q")`, after answers that wait for the store."""
        data = frame(METHOD, self._number, methods.encode(name, **arguments))
        if self._held:
            self._hold(self._held[-1].until, data)
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

    def prepare(self, name: str, **arguments: object) -> Callable[[], None]:
        """Hold one method until the returned function is called, now or later.

        The method is written once everything that is appended to the store until that call is synced. Later answers of
        the channel wait for it.
        """
        held = self._hold(self._store.synced, frame(METHOD, self._number, methods.encode(name, **arguments)))
        held.postpone()
        if not self.awaiting_sync:
            self.await_sync()
        return partial(self._release, held)

    def _release(self, held: HeldAnswer) -> None:
        held.release(self._store.appended)
        self._output.mark_dirty()

    def _hold(self, until: int, data: bytes) -> HeldAnswer:
        """Write `data` once the store is synced up to `until`; until then its memory counts as waiting for the disk."""
        if self._held:
            until = max(until, self._held[-1].until)
        held = HeldAnswer(until, data)
        self._held.append(held)
        self._store.count_answer(len(data) + HOLDING)
        return held

    def await_sync(self) -> None:
        """Register with the output, which collects due answers at the end of each event loop iteration."""
        self.awaiting_sync = True
        self._output.await_sync(self)

    def take_synced(self) -> bytes:
        confirms = self.confirms
        frames = confirms.flush() if confirms is not None else b""
        while self._held and self._held[0].is_ready and self._held[0].until <= self._store.synced:
            frames += self._held.popleft().data
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
