"""A stream through random steps and crashes, compared with a list of messages."""

import errno
import random
from bisect import bisect_left
from itertools import pairwise

import pytest

from amqpbroker.config.bounds import BOUNDS
from amqpbroker.store.log import UnwrittenError
from tests.seeds import sampled
from tests.store.streams.logs import Node, message, message_in, offsets

SEEDS = 150
STEPS = 120


class Model:
    """A stream, and its expected messages.

    stored: bodies of the messages that were confirmed, by offset. waiting: bodies of messages that were added behind
    these and were not confirmed; a crash may lose the last of them. times_ms: time of each one's chunk.
    """

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        chunk_bytes = self.chance.choice((1, 300, 2000))
        self.node = Node(
            segment_bytes=self.chance.choice((0, 1, 900, 5000)),
            chunk_bytes=chunk_bytes,
            index_bytes=self.chance.choice((0, 200, 3000)),
        )
        self.stored: list[str] = []
        self.waiting: list[str] = []
        self.times_ms: list[int] = []
        self.first = 0
        self.max_bytes = self.max_age_ms = -1
        self.is_under_way = False
        self.added = 0

    @property
    def files(self):
        return self.node.files

    def step(self) -> None:
        steps = (
            (self.publish, 8),
            (self.write, 8),
            (self.refuse, 2),
            (self.refuse_opening, 1),
            (self.fail_sync, 1),
            (self.kill, 1),
            (self.lose_power, 2),
            (self.cut, 2),
            (self.limit, 1),
            (self.wait, 3),
            (self.read, 3),
            (self.search, 3),
        )
        self.chance.choices([step for step, _ in steps], [weight for _, weight in steps])[0]()

    # --- writing ------------------------------------------------------------------------------------------------------

    def publish(self) -> None:
        for _ in range(self.chance.choice((1, 1, 3, 30))):
            self.added += 1
            size = self.chance.choice((0, 5, 100, 100, 1500, 7000))
            body = f"{self.added} ".ljust(size, "x") if size else ""
            self.waiting.append(body)
            assert self.node.log.append(message(body)) == len(self.stored) + len(self.waiting) - 1

    def write(self) -> bool:
        """Write what was added; return whether it was written."""
        streams = self.node.streams
        if not self.is_under_way:
            self.under_way = len(self.waiting)
            if not streams.gather():
                return True
            self.is_under_way = True
        if self.chance.random() < 0.2:
            self.check()
        try:
            streams.write()
        except UnwrittenError:
            self.check()
            return False
        streams.written()
        self._store(self.under_way)
        self.is_under_way = False
        streams.remove_freed()
        self.check()
        return True

    def _store(self, count: int) -> None:
        log = self.node.log
        for offset in range(len(self.stored), len(self.stored) + count):
            if offset >= log.first:
                segment = log._segments[log._index_of(offset)]
                self.times_ms.append(segment.find_offset(offset).head.written_ms)
            else:
                # Removed already: its time does not matter.
                self.times_ms.append(self.times_ms[-1] if self.times_ms else 0)
        self.stored += self.waiting[:count]
        del self.waiting[:count]

    def refuse(self) -> None:
        self.publish()
        self.files.fail_write = self.files.writes + self.chance.randint(1, 6)
        self.write()
        self.files.fail_write = 0

    def refuse_opening(self) -> None:
        """Refuse a file at any step of a write, because too many are open."""
        self.publish()
        left = self.chance.randint(0, 6)
        depth = 0
        names = ("create", "open", "sync_directory")
        originals = {name: getattr(self.files, name) for name in names}

        def counting(name):
            def called(*arguments, **options):
                nonlocal left, depth
                # `create` calls `open`.
                left -= not depth
                if left < 0:
                    raise OSError(errno.EMFILE, "Too many open files")
                depth += 1
                try:
                    return originals[name](*arguments, **options)
                finally:
                    depth -= 1

            return called

        streams = self.node.streams
        if not self.is_under_way:
            self.under_way = len(self.waiting)
            streams.gather()
            self.is_under_way = True
        for name in names:
            setattr(self.files, name, counting(name))
        try:
            streams.write()
        except UnwrittenError:
            pass
        finally:
            for name in names:
                delattr(self.files, name)
        self.write()

    # --- crashes ------------------------------------------------------------------------------------------------------

    def fail_sync(self) -> None:
        self.publish()
        if self.is_under_way and not self.write():
            return
        self.files.fail_sync = self.files.syncs + self.chance.randint(1, 5)
        try:
            self.write()
        except OSError as error:
            assert error.errno == errno.EIO  # noqa: PT017
            self.chance.choice((self.kill, self.lose_power))()
        self.files.fail_sync = 0

    def cut(self) -> None:
        """Lose power, or end the process, at any step of a write."""
        self.publish()
        self.files.cut_at = self.files.steps + self.chance.randint(1, 8)
        try:
            self.write()
        except BaseException as error:
            if type(error).__name__ != "PowerCut":
                raise
            self.chance.choice((self.kill, self.lose_power))()
        self.files.cut_at = 0

    def kill(self) -> None:
        self.files.kill()
        self._restart()

    def lose_power(self) -> None:
        self.files.power_loss(chance=self.chance)
        self._restart()

    def _restart(self) -> None:
        # Starting may be interrupted as well.
        if self.chance.random() < 0.3:
            self.files.cut_at = self.files.steps + self.chance.randint(1, 6)
            try:
                self.node.restart()
            except BaseException as error:
                if type(error).__name__ != "PowerCut":
                    raise
                self.chance.choice((self.files.kill, lambda: self.files.power_loss(chance=self.chance)))()
        self.files.cut_at = 0
        self.node.restart()
        log = self.node.log
        self.is_under_way = False
        assert log.next == log.safe
        survived = log.next - len(self.stored)
        assert 0 <= survived <= len(self.waiting), f"{-survived} confirmed messages are lost"
        self._store(survived)
        self.waiting.clear()
        self.first = min(self.first, log.first)  # removed files may be back
        log.limit(self.max_bytes, self.max_age_ms)
        self.node.streams.remove_freed()
        self.check()

    # --- time and retention -------------------------------------------------------------------------------------------

    def wait(self) -> None:
        self.node.clock.advance(self.chance.choice((1, 10, 1000, -500)))

    def limit(self) -> None:
        self.max_bytes = self.chance.choice((-1, 0, 3000, 30_000))
        self.max_age_ms = self.chance.choice((-1, 0, 500, 5000))
        self.node.log.limit(self.max_bytes, self.max_age_ms)
        if self.chance.random() < 0.5:
            self.node.streams.remove_freed()
        self.check()

    # --- reading ------------------------------------------------------------------------------------------------------

    def read(self) -> None:
        log = self.node.log
        if log.first < log.safe:
            offset = self.chance.randint(log.first, log.safe - 1)
            assert self.node.read(offset) == self.stored[offset:]

    def search(self) -> None:
        """Find an offset by its time."""
        log = self.node.log
        if log.first == log.safe:
            return
        at_ms = self.chance.choice(self.times_ms) + self.chance.choice((-1, 0, 1))
        expected = max(bisect_left(self.times_ms, at_ms), log.first)
        assert log.offset_at(at_ms) == expected
        assert log.first <= log.last_chunk < log.safe

    def check(self) -> None:
        """Check everything that can be read."""
        log = self.node.log
        assert log.safe == len(self.stored)
        assert log.next == len(self.stored) + len(self.waiting)
        assert self.first <= log.first
        self.first = log.first
        if self.stored:
            assert log.first < log.safe, "retention has removed the newest messages"
        assert self.node.read() == self.stored[log.first :]
        assert offsets(self.node.messages()) == list(range(log.first, log.safe))
        assert all(one.first < other.first for one, other in pairwise(log._segments))
        assert self.files.open_files == {}

    def end(self) -> None:
        """Write everything that waits, and restart once more."""
        while not self.write() or self.waiting:
            pass
        self.kill()
        self.node.streams.remove(self.node.log)
        self.node.streams.remove_freed()
        assert self.files.contents == {}


@pytest.mark.explore
@pytest.mark.parametrize("seed", sampled([*range(SEEDS)], SEEDS // 2))
def test_no_stored_message_is_lost_moved_or_doubled(seed):
    model = Model(seed)
    for _ in range(STEPS):
        model.step()
    model.end()


@pytest.mark.explore
def test_a_segment_has_at_most_256_000_chunks():
    count = BOUNDS.segment_chunks + 50_000
    node = Node(segment_bytes=1_000_000_000, index_bytes=64 * 1024)
    for number in range(count):
        node.publish(str(number))
    assert node.log.segment_count == 2
    for suffix in (".index", ""):
        node.restart()
        assert node.log.next == count
        for offset in (0, BOUNDS.segment_chunks - 1, BOUNDS.segment_chunks, count - 3):
            assert message_in(node.log.block(node.log.place(offset)), offset).body == str(offset).encode()
        for path in [path for path in node.files.contents if path.suffix == suffix]:
            node.files.remove(path)
    node.publish("last")
    assert node.log.segment_count == 2
