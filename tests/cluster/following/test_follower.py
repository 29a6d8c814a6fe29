"""A broker that follows the journal of another one, and takes over with what it has read."""

import errno
import random

import pytest

from amqpbroker.cluster.following.follower import Follower
from amqpbroker.store import record
from amqpbroker.store.database.fence import LOG
from amqpbroker.store.log import StoreError, UnwrittenError
from tests.store.database.test_database_files import Database
from tests.store.test_log import appended, found_sequences, made


@pytest.fixture
def filling(database):
    filled = Database(database)
    yield filled
    filled.close()


def read_on(filling, follower):
    """Read all steps; return their number."""
    count = 1
    while not filling.opened.reading.run(follower.read_on):
        count += 1
    return count


def write(log, payload):
    log.next_position()
    log.write(log.batch([record.group(payload), payload]))


def settle(log, *positions):
    log.living.settle(list(positions))
    write(log, record.settle(list(positions)))


def taken_over(filling, follower):
    """Take over with the follower's contents; return these, and the log."""
    log = filling.open()
    read_on(filling, follower)
    log.continue_from(follower.found, {number: kept.mark for number, kept in follower.segments.items()})
    return follower.found, log


def shown(found, log):
    """Return everything that a recovered log has, in comparable form."""
    copies = {
        queue: list(zip(kept.sequences, kept.positions, kept.deadlines_ms, kept.sizes, kept.priorities, strict=True))
        for queue, kept in found.copies.items()
    }
    living = {number: log.living.of(number).count for number in range(log.oldest, log.newest + 1)}
    return copies, found.returned, found.delayed, found.batches, living, log.oldest, log.newest, log.size, log.durable


def test_a_takeover_with_a_follower_finds_what_a_recovery_finds(filling):
    chance = random.Random(5)
    follower = Follower(LOG)
    log, live, sequence = filling.log, [], 0
    for _ in range(60):
        for _ in range(chance.randint(1, 4)):
            sequence += 1
            live += appended(log, sequence, size=chance.choice((20, 300, 1_500)), holder=chance.randint(1, 2))
        write(log, record.returned([(chance.choice(live), sequence)]))
        write(log, record.delayed([(chance.choice(live), chance.choice((0, sequence)))]))
        # Mostly the oldest ones, so that segments become free.
        while len(live) > 15:
            settle(log, live.pop(0 if chance.random() < 0.9 else chance.randrange(len(live))))
        # A segment that was not read yet is never removed here.
        if chance.random() < 0.5:
            read_on(filling, follower)
            if log.free():
                log.remove_freed()
    assert log.oldest > 3
    assert log.newest - log.oldest > 1
    expected = shown(filling.start(), filling.log)
    found, continued = taken_over(filling, follower)
    assert shown(found, continued) == expected
    assert list(found.living._segments) == list(range(continued.oldest, continued.newest + 1))
    # It goes on where the other one ended.
    appended(continued, sequence + 1)
    assert filling.start().batches == expected[3] + 1


def test_a_long_journal_is_read_in_steps(filling):
    for number in range(1, 20):
        # Some batches are larger than a step.
        appended(filling.log, number, size=2_000 if number % 5 == 0 else 100)
    follower = Follower(LOG, step_bytes=500)
    assert read_on(filling, follower) > 5
    expected = shown(filling.start(), filling.log)
    found, continued = taken_over(filling, follower)
    assert shown(found, continued) == expected


def test_a_batch_behind_one_that_is_still_written_is_read_with_it(filling):
    appended(filling.log, 1)
    follower = Follower(LOG)
    first, second = [filling.log.begin(made(filling.log, sequence)[0]) for sequence in (2, 3)]
    second()
    assert read_on(filling, follower) == 1
    assert follower.found.batches == 1
    first()
    read_on(filling, follower)
    assert follower.found.batches == 3
    expected = shown(filling.start(), filling.log)
    found, continued = taken_over(filling, follower)
    assert shown(found, continued) == expected


def test_a_takeover_with_a_follower_replaces_a_batch_behind_one_that_was_lost(filling):
    appended(filling.log, 1)
    follower = Follower(LOG)
    _, second = [filling.log.begin(made(filling.log, sequence)[0]) for sequence in (2, 3)]
    second()
    read_on(filling, follower)
    _, continued = taken_over(filling, follower)
    appended(continued, 9, size=50)
    found = filling.start()
    assert (found_sequences(found), found.batches) == ([1, 9], 2)
    read_on(filling, follower)
    assert follower.found.batches == 2


def test_a_row_that_another_broker_has_read_is_not_removed_before_it_is_written_again(filling):
    """Otherwise its leader may end between, and the next one writes another row in its place."""
    appended(filling.log, 1)
    follower = Follower(LOG)
    filling.opened.fence.loses = UnwrittenError(errno.EIO, "no answer")
    with pytest.raises(UnwrittenError):
        appended(filling.log, 2)
    read_on(filling, follower)
    assert follower.found.batches == 2
    # As before each batch that is written alone.
    filling.opened.files.flush()
    found = filling.reopen()
    assert found_sequences(found) == [1, 2]
    appended(filling.log, 8)
    found, _ = taken_over(filling, follower)
    assert found_sequences(found) == [1, 2, 8]


def test_a_journal_whose_next_segments_are_gone_cannot_be_followed(filling):
    """As after a pause in which the leader has written and removed many messages."""
    follower = Follower(LOG)
    log = filling.log
    for sequence in range(1, 3):
        settle(log, *appended(log, sequence, size=3_000))
    read_on(filling, follower)
    for sequence in range(3, 8):
        settle(log, *appended(log, sequence, size=3_000))
    assert log.free()
    log.remove_freed()
    with pytest.raises(StoreError, match=r"has batch \d+ after batch \d+"):
        read_on(filling, follower)
    again = Follower(LOG)
    read_on(filling, again)
    assert again.found.batches == 14


def test_nothing_is_kept_of_messages_in_segments_that_were_removed(filling):
    follower = Follower(LOG)
    log = filling.log
    for sequence in range(1, 41):
        (position,) = appended(log, sequence, size=1_000, holder=sequence)
        write(log, record.returned([(position, 1)]))
        write(log, record.delayed([(position, 5)]))
        settle(log, position)
        read_on(filling, follower)
        if log.free():
            log.remove_freed()
    read_on(filling, follower)
    assert log.oldest > 3
    found, kept = follower.found, set(range(log.oldest, log.newest + 1))
    positions = {position for copies in found.copies.values() for position in copies.positions}
    assert {position >> record.OFFSET_BITS for position in {*positions, *found.returned, *found.delayed}} <= kept
    assert len(found.copies) == len(positions) < 10


def test_an_empty_database_is_followed(filling):
    follower = Follower(LOG)
    assert read_on(filling, follower) == 1
    assert follower.segments == {}
    batch, _ = made(filling.log, 1)
    filling.log.write(batch)
    read_on(filling, follower)
    assert follower.found.batches == 1


def test_segments_of_other_logs_and_other_files_are_not_read(filling):
    appended(filling.log, 1)
    tables = ["0/journal-/1.seg", "0/journal0/1.seg", "0/streams/q/1.seg", "00/journal/1.seg", "v0/journal/1.seg"]
    for table in tables:
        filling.opened.reading.run(lambda connection, table=table: connection.execute(f'CREATE TABLE "{table}" ()'))
    follower = Follower(LOG)
    assert read_on(filling, follower) == 1
    assert list(follower.segments) == [1]
    assert follower.found.batches == 1
