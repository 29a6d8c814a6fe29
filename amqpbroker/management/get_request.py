"""Messages that one request gets from a queue."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, final

import orjson

from amqpbroker.broker.events.tap import over_http
from amqpbroker.broker.queues.dead_letters.delivery_count import counted
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.queues.settlement import FAIL, REJECT, REQUEUE, settle_in_slices
from amqpbroker.management.completion import all_written, recorded
from amqpbroker.management.formats.messages import got
from amqpbroker.management.streamed import Parts
from amqpbroker.message.message import MESSAGE_BYTES

if TYPE_CHECKING:
    from amqpbroker.management.call import Call


#: ackmode -> how messages are settled at the end; None if they are acknowledged at once.
ACK_MODES: dict[str, str | None] = {
    "ack_requeue_true": REQUEUE,
    "ack_requeue_false": None,
    "reject_requeue_true": FAIL,
    "reject_requeue_false": REJECT,
}


@final
class GetRequest:
    """Gets up to `count` messages of a queue, all if `count` is negative. All are taken before any is requeued."""

    def __init__(
        self, call: "Call", queue: Queue, count: int, ack_mode: str, encoding: str, truncate: int | None
    ) -> None:
        self._call = call
        self._queue = queue
        self._vhost = call.vhost
        # One more than the queue has now, to find out that it is empty; bounded, in case clients keep publishing.
        most = queue.ready_count + 1
        self._left = most if count < 0 else min(count, most)
        self._how = ACK_MODES[ack_mode]
        self._no_ack = self._how is None
        self._encoding = encoding
        self._truncate = truncate
        self._held: list[Entry] = []
        self._held_bytes = 0
        bounds = call.broker.config.bounds
        self._most_held = bounds.got_bytes
        self._slice_count = bounds.slice_count
        self._slice_bytes = bounds.slice_bytes

    async def parts(self, check: Callable[[], object]) -> Parts:
        """Yield the JSON of the list. The messages are settled before the list ends, or when the generator is closed.

        check(): raises an error if the sender is no longer authorised.
        """
        separator = b"["
        try:
            while self._left:
                shown = self._slice()
                if shown:
                    yield separator + orjson.dumps(shown)[1:-1]
                    separator = b","
                if self._left:
                    await asyncio.sleep(0)
                    check()
        finally:
            some_left = self._finish()
        if some_left:
            await recorded(self._vhost)
        await all_written(self._call.broker)
        yield b"[]" if separator == b"[" else b"]"

    def _finish(self) -> bool:
        """Settle the messages; return whether some are settled later."""
        held, how = self._held, self._how
        if not held or how is None:
            return False
        return settle_in_slices(self._vhost, [(self._queue, held)], len(held), how)

    def _slice(self) -> list[dict[str, Any]]:
        """Take the next messages, and set `_left` to 0 if the queue has no more. There may be none, but later ones."""
        shown: list[dict[str, Any]] = []
        size = 0
        while self._left and len(shown) < self._slice_count and size < self._slice_bytes:
            if self._queue.closed or self._held_bytes >= self._most_held:
                self._left = 0
                break
            row = self._get()
            if row is None:
                if not self._queue.is_behind:
                    self._left = 0
                break
            self._left -= 1
            shown.append(row)
            size += row["payload_bytes"]
        return shown

    def _get(self) -> dict[str, Any] | None:
        queue, vhost, no_ack, call = self._queue, self._vhost, self._no_ack, self._call
        with vhost.dead_letters:
            entry = queue.get(no_ack)
            if entry is None:
                if not queue.is_behind:
                    vhost.count(get_empty=1)
                return None
            if not no_ack:
                self._held.append(entry)
                if entry.position:
                    self._held_bytes += MESSAGE_BYTES + entry.message.size
            redelivered = entry.redelivered
            vhost.count(redeliver=int(redelivered), **{"get_no_ack" if no_ack else "get": 1})
            compat = call.broker.config.compat
            message = counted(entry.message, queue, entry.acquired_count, entry.delivery_count, compat)
            for tap in vhost.taps:
                tap.delivered(vhost, message, queue.name, redelivered, over_http(call.identity.user.name))
            return got(message, redelivered, queue.ready_count, self._encoding, self._truncate)
