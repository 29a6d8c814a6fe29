"""Planted faults of streams: their files, their readers, and what is removed."""

from tests.simulation.planted.fault import Planted

STREAMS = (
    # --- writing ------------------------------------------------------------------------------------------------------
    Planted(
        "a stream whose chunks are not synced",
        "writing.py",
        "            if synced:\n                files.sync(descriptor)\n        finally:",
        "        finally:",
    ),
    Planted(
        "a new segment whose name is not synced", "writing.py", "files.sync_directory(segment.path.parent)", "pass"
    ),
    Planted(
        "a stream written after the journal",
        "data.py",
        "            definitions.sync()\n            logs.write()",
        "            definitions.sync()",
    ),
    Planted(
        "chunks of a stream that stay after a refusal",
        "writing.py",
        "            if descriptor >= 0 and temporary and not self.is_new:",
        "            if descriptor < 0 and temporary and not self.is_new:",
    ),
    Planted(
        "a new segment that stays after a refusal",
        "writing.py",
        "        if descriptor >= 0 and self.is_new:\n            files.remove(segment.path)",
        "        pass",
    ),
    Planted(
        "chunks of a stream written once more",
        "stream_log.py",
        "            self.writing[0].write(self._files, synced)\n            del self.writing[0]",
        "            self.writing[0].write(self._files, synced)\n            self.writing[0].write(self._files, synced)"
        "\n            del self.writing[0]",
    ),
    Planted(
        "a message of a stream that is readable too early",
        "stream_log.py",
        "        self._under_way.append((BlockKey(self.id, segment.first, position), chunk))",
        "        self._under_way.append((BlockKey(self.id, segment.first, position), chunk))"
        "\n        self.safe = chunk.head.first + chunk.head.messages",
    ),
    Planted(
        "a message of a stream that does not count as unwritten",
        "pending_writes.py",
        "        self.streamed = True\n        self.waiting_bytes += size\n        self.appended = self._number\n",
        "        self.streamed = True\n",
    ),
    Planted(
        "a stream that is written only with the journal",
        "persistence.py",
        "            self.streams.gather()\n            writings = writings or [Writing(None, [], 0)]",
        "            self.streams.gather()",
    ),
    Planted(
        "a chunk that loses its last message",
        "chunk.py",
        "        self.count = 0\n        self.size_bytes = 0\n        return data",
        "        self.count = 0\n        self.size_bytes = 0\n        return data[:-1]",
    ),
    # --- recovery -----------------------------------------------------------------------------------------------------
    Planted(
        "the torn end of a stream that stays",
        "segment.py",
        "                if repair:\n                    files.truncate(descriptor, self.size)",
        "                pass",
    ),
    Planted(
        "the last chunk of a stream left out at the start",
        "stream_log.py",
        "                self.next = last.head.first + last.head.messages",
        "                self.next = last.head.first",
    ),
    Planted(
        "a stream that begins again at its newest segment",
        "stream_log.py",
        "self.first, self.next = self._segments[0].first, newest.first",
        "self.first, self.next = newest.first, newest.first",
    ),
    Planted(
        "a torn write of several chunks taken for damage",
        "segment.py",
        "                and head.start > position",
        "                and head.start > 0",
    ),
    Planted(
        "files of a deleted stream that stay",
        "stream_log.py",
        "        segments, self._segments = self._segments, []\n        for segment in segments:\n"
        "            self._on_removed(segment)",
        "        self._segments = []",
    ),
    # --- reading ------------------------------------------------------------------------------------------------------
    Planted(
        "a reader that is not told of new messages",
        "stream_log.py",
        "            self.remove_oldest()\n        self._on_safe()",
        "            self.remove_oldest()\n        if not begun:\n            self._on_safe()",
    ),
    Planted(
        "a reader that reads beyond what is stored",
        "reader.py",
        "while self.offset < log.safe and consumer.can_take():",
        "while self.offset < log.next and consumer.can_take():",
    ),
    Planted(
        "a reader that skips the first message of a segment",
        "stream_log.py",
        "        return BlockKey(self.id, block.first + block.count, SEGMENT_BYTES)",
        "        return BlockKey(self.id, block.first + block.count, block.following)",
    ),
    Planted(
        "a reader whose segment was removed",
        "reader.py",
        "if key is None or not log.has(key):",
        "if key is None:",
    ),
    Planted(
        "a credit that a rejected message does not return",
        "queue.py",
        "        for consumer in self.outstanding.settle_returned(entries):\n            self.offer(consumer)",
        "        self.outstanding.settle_returned(entries)",
    ),
    Planted(
        "a filter that passes over the last message of its share",
        "reader.py",
        "                        return self.offset < log.safe",
        "                        self.offset += 1\n                        return self.offset < log.safe",
    ),
    Planted(
        "a filtering reader that does not go on",
        "queue.py",
        "        for consumer in passing:\n            self.offer(consumer)",
        "        pass",
    ),
    Planted(
        "a block of another stream",
        "stream_log.py",
        "        block = self._cache.get(key)\n",
        "        block = self._cache.get(key._replace(stream=1))\n",
    ),
    Planted(
        "a message that is read from a place in another chunk",
        "reader.py",
        "if self._placed == self.offset > block.first else",
        "if self._placed == self.offset else",
    ),
    # --- removal ------------------------------------------------------------------------------------------------------
    Planted(
        "the newest segment removed",
        "stream_log.py",
        "        return max(self._readable() - 1, 0)",
        "        return len(self._segments)",
    ),
    Planted(
        "a limit that removes nothing",
        "stream_log.py",
        "            if size > self._max_bytes:",
        "            if size > self._max_bytes << 20:",
    ),
    Planted(
        "a kept offset beyond a message that is not processed",
        "tracking.py",
        "offset = next(iter(self.unsettled), self._reader.offset)",
        "offset = self._reader.offset",
    ),
    Planted(
        "a kept offset that forgets a returned message",
        "tracking.py",
        "return offset if self._returned < 0 else min(offset, self._returned)",
        "return offset",
    ),
    Planted(
        "a processed message that does not move the kept offset",
        "tracking.py",
        "    def processed(self, offset: int) -> None:\n        self.unsettled.pop(offset, None)",
        "    def processed(self, offset: int) -> None:\n        pass",
    ),
    # --- super streams ------------------------------------------------------------------------------------------------
    Planted(
        "a message in two partitions",
        "consistent_hash.py",
        "        return [self._targets[bisect_right(ends, bucket)]]",
        "        return list({self._targets[0], self._targets[bisect_right(ends, bucket)]})",
    ),
    Planted("partitions in another order", "super_streams.py", 'Field("l", order)}', 'Field("l", order % 2)}'),
    Planted(
        "a super stream created in parts",
        "super_streams.py",
        "        with vhost.definitions.transaction():",
        "        if vhost.definitions:",
    ),
)
