"""A broker reads the journal of a log that it has taken over, or the rest of what it has followed."""

import pytest

from amqpbroker.clock import ManualClock
from amqpbroker.cluster.database_storage import DatabaseStorage
from amqpbroker.cluster.following.follower import Follower
from amqpbroker.cluster.following.vhost_followers import Followed
from amqpbroker.cluster.leadership.sessions import Sessions
from amqpbroker.cluster.vhost_recovery import recovered
from amqpbroker.config.bounds import Bounds
from amqpbroker.store.database.fence import LOG
from amqpbroker.store.log import StoreError, UnwrittenError
from tests.store.database.test_database_files import Database
from tests.store.test_log import SEGMENT_BYTES, appended


class Takeover:
    """A log with batches, which a broker takes over that had read a part of them."""

    def __init__(self, url):
        self._filling = Database(url)
        self._sessions = Sessions(url, "process")
        self._storages = []
        self.log = LOG
        self.append(1, 30)
        self.follower = Follower(LOG)
        while not self._filling.opened.reading.run(self.follower.read_on):
            pass
        self.append(31, 40)
        self.followed = Followed(self.follower, 30)

    def append(self, first, last):
        for number in range(first, last + 1):
            appended(self._filling.log, number, size=1_000)

    def end(self):
        """End the leader in order."""
        self._filling.log.living.add([1 << 32 | 1000], [100])
        self._filling.log.end(doubted=0)

    def storage(self):
        made = DatabaseStorage(self._sessions, self._filling.opened.leadership.epoch, self.log)
        self._storages.append(made)
        return made

    def recover(self, storage=None, vhost="v"):
        bounds = Bounds(segment_bytes=SEGMENT_BYTES)
        return recovered(storage or self.storage(), vhost, self.followed, bounds, ManualClock())

    def close(self):
        for storage in self._storages:
            storage.close()
        self._sessions.close()
        self._filling.close()


@pytest.fixture
def takeover(database):
    made = Takeover(database)
    yield made
    made.close()


def sequences(read):
    (copies,) = read.found.copies.values()
    return list(copies.sequences)


ALL = list(range(1, 41))


def test_only_the_rest_is_read_of_a_journal_that_was_followed(takeover, monkeypatch):
    def read_all(journal):
        raise AssertionError("all is read")

    monkeypatch.setattr("amqpbroker.store.journal.journal.Journal.recover", read_all)
    read = takeover.recover()
    assert (sequences(read), read.followed, read.found.batches) == (ALL, 30, 40)
    assert takeover.followed.follower is None
    assert sorted(read.journal.segments) == sorted(takeover.follower.segments)
    appended(read.journal, 41)
    assert read.journal.batches == 41


def test_all_is_read_of_a_journal_that_was_not_followed(takeover):
    takeover.followed = Followed()
    read = takeover.recover()
    assert (sequences(read), read.followed) == (ALL, 0)


def incomplete(follower):
    return False


def damaged(follower):
    raise StoreError("a segment is gone")


@pytest.mark.parametrize("read_on", [incomplete, damaged])
def test_all_is_read_if_what_was_followed_cannot_be_completed(takeover, caplog, read_on):
    storage = takeover.storage()
    storage.read_on = read_on
    read = takeover.recover(storage)
    assert (sequences(read), read.followed) == (ALL, 0)
    assert "vhost 'v': the journal was not followed to its end, and is read again" in caplog.messages


def test_what_was_followed_is_used_by_the_next_attempt_if_the_database_fails(takeover):
    def fail(follower):
        raise UnwrittenError(5, "no connection")

    storage = takeover.storage()
    storage.read_on = fail
    with pytest.raises(UnwrittenError):
        takeover.recover(storage)
    read = takeover.recover()
    assert (sequences(read), read.followed) == (ALL, 30)


@pytest.mark.parametrize("uses_follower", [True, False])
def test_batches_that_are_missing_are_reported(takeover, caplog, uses_follower):
    takeover.followed = Followed(takeover.follower if uses_follower else None, 41)
    assert sequences(takeover.recover()) == ALL
    assert (
        "vhost 'v': messages that were confirmed may be lost: the last batch is 40, and this broker has read 41; was a"
        " standby promoted that did not have them? The vhost is served without them"
    ) in caplog.messages


def test_the_journal_has_the_name_of_the_vhost_for_operators(takeover):
    assert takeover.recover().journal.name == "definitions in the database"
    takeover.log = "v1"
    takeover.followed = Followed()
    assert takeover.recover(vhost="a\nb").journal.name == r"vhost 'a\x0ab' in the database"


def test_nothing_is_reported_if_no_batch_is_missing(takeover, caplog):
    takeover.recover()
    assert [record for record in caplog.records if record.levelname == "CRITICAL"] == []


def test_all_messages_may_have_been_delivered_by_a_leader_that_did_not_end_in_order(takeover):
    read = takeover.recover()
    assert not read.found.closed_in_order
    assert read.found.doubted == read.journal.durable > max(read.found.copies[1].positions)


@pytest.mark.parametrize("uses_follower", [True, False])
def test_deliveries_are_known_after_an_end_in_order_which_the_next_leader_voids(takeover, uses_follower):
    takeover.end()
    if not uses_follower:
        takeover.followed = Followed()
    read = takeover.recover()
    assert (read.found.closed_in_order, read.found.doubted, read.found.batches) == (True, 0, 41)
    takeover.followed = Followed()
    again = takeover.recover()
    assert (again.found.closed_in_order, again.found.batches) == (False, 42)
    assert again.found.doubted == again.journal.durable
