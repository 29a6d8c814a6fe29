"""Planted faults of memory: bounds that do not hold, and containers that only grow."""

from tests.simulation.planted.fault import Planted

LIMITS = (
    # --- bounds -------------------------------------------------------------------------------------------------------
    Planted(
        "a cache of chunks without end",
        "block_cache.py",
        "while self.size_bytes > self._limit_bytes and len(self._blocks) > 1:",
        "while False:",
    ),
    Planted(
        "a history for every object",
        "histories.py",
        "                if self._histories[oldest].used_ms > sample.at_ms - HELD_MS:\n"
        "                    return  # as many others are active\n"
        "                del self._histories[oldest]",
        "                self._histories[oldest].used_ms = sample.at_ms",
    ),
    Planted(
        "unread answers of any size",
        "answers.py",
        "        excess = self._waiting_bytes - self._most_bytes",
        "        excess = 0",
    ),
    Planted(
        "unread answers for which the client that waits for the shortest time is dropped",
        "answers.py",
        "in islice(self._stalled.items(), len(self._stalled) - 1):",
        "in islice(reversed(self._stalled.items()), len(self._stalled) - 1):",
    ),
    Planted("pages of any number of messages", "pages.py", "= bounds.page_count", "= 1 << 40"),
    Planted("pages of any size", "pages.py", "= bounds.page_bytes", "= 1 << 40"),
    Planted(
        "delayed messages that all stay in memory",
        "delayed_messages.py",
        "        pager, count = self._pager, len(self._heap)\n        if pager is None:",
        "        pager, count = self._pager, len(self._heap)\n        if self._batch:",
    ),
    Planted(
        "a filter that passes over everything at once",
        "queue.py",
        "skips, skipped_bytes = bounds.stream_skips, bounds.stream_read_bytes",
        "skips, skipped_bytes = 1 << 40, 1 << 40",
    ),
    Planted(
        "messages about all batches at once",
        "due_batches.py",
        "            for batch in list(islice(self._waiting, self._most)):",
        "            for batch in list(self._waiting):",
    ),
    Planted(
        "members of batches removed all at once",
        "succeeded_members.py",
        "        most = self._most\n",
        "        most = 1 << 40\n",
    ),
    Planted(
        "a log of the definitions that grows on",
        "sqlite_log.py",
        "        if self._size_bytes() >= self._checkpoint_bytes:\n",
        "        if self._size_bytes() >= 1 << 40:\n",
    ),
    Planted(
        "a full log of the definitions that takes changes",
        "sqlite_log.py",
        "        if size >= self._most_bytes:\n            self._checkpoint()\n        elif",
        "        if",
    ),
    Planted(
        "lists without slices",
        "listing.py",
        "encoded_rows(objects, selection.show, RowSlices(rows))",
        "encoded_rows(objects, selection.show, RowSlices(1 << 40))",
    ),
    Planted(
        "a sort that looks up all values at once",
        "listing.py",
        "in RowSlices(rows).of(objects):",
        "in RowSlices(run).of(objects):",
    ),
    Planted(
        "metrics of all objects at once",
        "snapshot.py",
        "    slices = RowSlices(snapshot.rows)\n",
        "    slices = RowSlices(1 << 40)\n",
    ),
    Planted(
        "samples of all objects at once",
        "page.py",
        "slices = RowSlices(SAMPLES_PER_ROW * snapshot.rows)",
        "slices = RowSlices(1 << 40)",
    ),
    Planted(
        "slices without an iteration between them",
        "row_slices.py",
        "                await asyncio.sleep(0)\n",
        "",
    ),
    Planted(
        "definitions imported all at once",
        "importing.py",
        "    slices = RowSlices(rows)\n",
        "    slices = RowSlices(1 << 40)\n",
    ),
    Planted(
        "a redrive of all messages at once",
        "redrive.py",
        "= vhost.config.bounds.slice_count",
        "= 1 << 40",
    ),
    Planted(
        "bindings of a deleted exchange removed all at once",
        "binding_cleanup.py",
        "list(islice(job.bindings, self._most))",
        "list(job.bindings)",
    ),
    # --- leaks --------------------------------------------------------------------------------------------------------
    Planted(
        "a queue that remembers each acknowledgement",
        "local_queue.py",
        "        elif entry.position or self._sees_all:  # saves",
        '        self.__dict__.setdefault("_leaked", []).append(entry.sequence)\n'
        "        if entry.position or self._sees_all:  # saves",
    ),
    Planted(
        "a listener that remembers each client",
        "http_protocol.py",
        "        self._resting.work(self)\n        super().connection_lost(exc)",
        "        self._resting.work(self)\n"
        '        self._answers.__dict__.setdefault("_leaked", []).append(bytes(10_000))\n'
        "        super().connection_lost(exc)",
    ),
    # --- containers of modules and classes ----------------------------------------------------------------------------
    Planted(
        "a memo of routing keys that is never cleared",
        "topic_index.py",
        "def words_of(key: bytes) -> list[bytes]:",
        '@__import__("functools").cache\ndef words_of(key: bytes) -> list[bytes]:',
    ),
    Planted(
        "a class that remembers the size of each chunk",
        "stream_log.py",
        "    def __init__(self, head: ChunkHead, payload: bytes) -> None:\n",
        "    sizes: list[int] = []\n\n"
        "    def __init__(self, head: ChunkHead, payload: bytes) -> None:\n"
        "        self.sizes.append(len(payload))\n",
    ),
    Planted(
        "all objects sampled at once",
        "rates.py",
        "members[start : start + most] for start in range(0, len(members), most)",
        "members for _ in range(1 if members else 0)",
    ),
    Planted(
        "all messages of a get at once",
        "get_request.py",
        "while self._left and len(shown) < self._slice_count and size",
        "while self._left and size",
    ),
    Planted(
        "all bytes of a get at once",
        "get_request.py",
        "len(shown) < self._slice_count and size < self._slice_bytes:",
        "len(shown) < self._slice_count:",
    ),
)
