"""Stored messages through a crash: what a broker did, and what one that starts on the same files has."""

import copy
import errno
import logging
import random
from pathlib import Path

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.destination import Destination
from amqpbroker.broker.persistence import Persistence, restore_messages
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.store.committer import Committer, InlineCommitter
from amqpbroker.store.journal import Journal, StoreError
from amqpbroker.store.recovery import recover
from amqpbroker.wire.values import Field, longstr
from tests.fault_files import FaultyFiles
from tests.harness import Wire

DIRECTORY = Path("/journal")


class LaterCommitter(Committer):
    """Does what it was given when the test says so."""

    def __init__(self, journal):
        super().__init__(journal)
        self.inline = InlineCommitter(journal)
        self.work = []

    def start(self, batch, on_done):
        self.work.append((batch, on_done))

    def close(self):
        return None

    def finish(self):
        work, self.work = self.work, []
        for batch, on_done in work:
            self.inline.start(batch, on_done)


class Node:
    """One broker on files that outlive it. `queues` are declared at each start, as restored definitions would be.

    limits: arguments of Persistence.
    """

    def __init__(self, files=None, clock=None, committer=InlineCommitter, limits=None, **queues):
        self.files = files or FaultyFiles()
        self.clock = clock or ManualClock()
        self.queues = queues or {"q": {}}
        self.failures = []
        journal = Journal(DIRECTORY, self.files)
        found = recover(journal)
        self.committer = committer(journal)
        self.persistence = Persistence(journal, self.committer, self.failures.append, self.clock, **(limits or {}))
        self.stuck = []
        self.persistence.on_stuck = self.stuck.append
        self.broker = Broker(Config(), self.clock, self.persistence)
        by_id = {}
        for number, (name, arguments) in enumerate(self.queues.items(), 1):
            queue = self.broker.vhosts["/"].declare_queue(name, True, False, False, arguments)
            queue.id = number
            by_id[number] = queue
        self.restored = restore_messages(self.persistence, found, by_id)
        self.broker.sync()

    def crash(self, keep=0):
        """The power goes; the machine comes back."""
        self.files.power_loss(keep)
        return Node(self.files, self.clock, type(self.committer), **self.queues)

    def client(self):
        return Wire(self.broker).log_in()


def bodies(node, queue="q"):
    client = node.client()
    found = []
    while (got := client.get(queue)).name == "basic.get-ok":
        found.append(got.body.decode())
    return found


def publish(client, *texts, queue="q", **properties):
    for text in texts:
        client.publish(queue, text.encode(), delivery_mode=2, **properties)


def test_confirmed_persistent_messages_survive_in_order():
    node = Node()
    client = node.client()
    client.call(1, "confirm.select")
    publish(client, *"abc")
    assert [got.name for got in client.receive()] == ["basic.ack"]
    assert bodies(node.crash()) == ["a", "b", "c"]


def test_transient_messages_do_not():
    node = Node()
    client = node.client()
    client.publish("q", b"transient")
    publish(client, "kept")
    client.receive()
    assert bodies(node.crash()) == ["kept"]


def test_messages_of_a_deleted_vhost_do_not_either():
    node = Node(q={}, other={})
    client = node.client()
    publish(client, "ready", "held", queue="q")
    client.consume("q", no_ack=False)
    publish(client, "other", queue="other")
    client.receive()
    node.broker.delete_vhost("/")
    node.broker.sync()
    assert client.receive()[-1].arguments["reply_text"] == "CONNECTION_FORCED - vhost '/' is deleted"
    node.broker.sync()
    assert node.persistence.journal.living.octets == 0
    assert node.crash().restored == 0


def test_no_confirm_before_the_sync_has_returned():
    node = Node(committer=LaterCommitter)
    client = node.client()
    client.call(1, "confirm.select")
    publish(client, "a")
    assert client.receive() == []
    publish(client, "b")
    assert client.receive() == []
    node.committer.finish()
    assert [(got.name, got.arguments["delivery_tag"]) for got in client.receive()] == [("basic.ack", 1)]
    node.committer.finish()
    assert [(got.name, got.arguments["delivery_tag"]) for got in client.receive()] == [("basic.ack", 2)]


def test_without_durability_a_confirm_waits_for_nothing():
    node = Node(committer=LaterCommitter)
    node.persistence._waits = False
    client = node.client()
    client.call(1, "confirm.select")
    publish(client, "a", "b")
    assert [(got.name, got.arguments["delivery_tag"]) for got in client.receive()] == [("basic.ack", 2)]
    assert len(node.committer.work) == 1


def test_what_was_not_synced_is_gone_and_was_not_confirmed():
    node = Node(committer=LaterCommitter)
    client = node.client()
    client.call(1, "confirm.select")
    publish(client, "a")
    assert client.receive() == []
    assert bodies(node.crash()) == []


def test_acked_and_synced_messages_do_not_come_back():
    node = Node()
    client = node.client()
    publish(client, *"abc")
    client.receive()
    client.get("q", no_ack=False)
    client.get("q", no_ack=False)
    client.send(1, "basic.ack", delivery_tag=2)
    client.receive()
    after = node.crash()
    got = after.client().get("q")
    assert (got.body, got.arguments["redelivered"], got.arguments["message_count"]) == (b"a", True, 1)
    assert bodies(after) == ["c"]


def test_a_message_consumed_and_acked_before_its_batch_is_never_written():
    node = Node(committer=LaterCommitter)
    client = node.client()
    client.consume("q")
    publish(client, "first")
    client.receive()
    publish(client, "second")
    client.connection.feed(b"\1\0\1\0\0\0\x0d\0\x3c\0\x50" + (2).to_bytes(8, "big") + b"\0\xce")
    node.committer.finish()
    client.receive()
    node.committer.finish()
    written = b"".join(bytes(content) for content in node.files.contents.values())
    assert b"first" in written
    assert b"second" not in written


def test_a_fan_out_writes_the_body_once():
    node = Node(one={}, two={}, three={})
    client = node.client()
    for queue in ("one", "two", "three"):
        client.call(1, "queue.bind", queue=queue, exchange="amq.fanout")
    client.publish("", b"the only copy", exchange="amq.fanout", delivery_mode=2)
    client.receive()
    written = b"".join(bytes(content) for content in node.files.contents.values())
    assert written.count(b"the only copy") == 1
    client.get("two")
    client.turn()
    after = node.crash()
    assert [bodies(after, queue) for queue in ("one", "two", "three")] == [["the only copy"], [], ["the only copy"]]


def test_a_transaction_is_all_or_nothing_at_every_octet():
    node = Node(one={}, two={})
    client = node.client()
    client.call(1, "tx.select")
    publish(client, "x", queue="one")
    publish(client, "y", queue="two")
    path_sizes = {path: len(content) for path, content in node.files.contents.items()}
    assert client.call(1, "tx.commit").name == "tx.commit-ok"
    (path,) = node.files.contents
    data = bytes(node.files.contents[path])
    for end in range(path_sizes.get(path, 16), len(data) + 1):
        files = FaultyFiles()
        files.contents[path] = bytearray(data[:end])
        files.synced[path] = end
        after = Node(files, one={}, two={})
        both = bodies(after, "one") + bodies(after, "two")
        assert both == (["x", "y"] if end == len(data) else [])


def test_commit_ok_waits_for_the_sync_and_answers_stay_in_order():
    node = Node(committer=LaterCommitter)
    client = node.client()
    client.call(1, "tx.select")
    publish(client, "x")
    client.send(1, "tx.commit")
    client.send(1, "basic.qos", prefetch_count=1)
    assert client.receive() == []
    node.committer.finish()
    assert [got.name for got in client.receive()] == ["tx.commit-ok", "basic.qos-ok"]


def test_a_dead_letter_leaves_one_queue_and_enters_the_next_together():
    arguments = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("dead")}
    node = Node(q=arguments, dead={})
    client = node.client()
    publish(client, "m")
    client.receive()
    (path,) = node.files.contents
    before = len(node.files.contents[path])
    client.get("q", no_ack=False)
    client.send(1, "basic.reject", delivery_tag=1)
    client.receive()
    data = bytes(node.files.contents[path])

    def node_with(end):
        files = FaultyFiles()
        files.contents[path] = bytearray(data[:end])
        files.synced[path] = end
        return Node(files, q=arguments, dead={})

    for end in range(before, len(data) + 1):
        after = node_with(end)
        where = bodies(after, "q"), bodies(after, "dead")
        assert where == (([], ["m"]) if end == len(data) else (["m"], []))
    dead = node_with(len(data)).client().get("dead")
    assert dead.properties["headers"]["x-first-death-reason"] == longstr("rejected")


def test_a_moved_message_leaves_one_queue_and_enters_the_next_together():
    node = Node(q={}, to={})
    client = node.client()
    publish(client, "1", "2")
    client.receive()
    (path,) = node.files.contents
    before = len(node.files.contents[path])
    queues = node.broker.vhosts["/"].queues
    assert queues["q"].move(queues["to"], 10, 1000) == 2
    node.broker.sync()
    data = bytes(node.files.contents[path])
    seen = set()
    for end in range(before, len(data) + 1):
        files = FaultyFiles()
        files.contents[path] = bytearray(data[:end])
        files.synced[path] = end
        after = Node(files, q={}, to={})
        where = tuple(bodies(after, "q")), tuple(bodies(after, "to"))
        assert sorted(where[0] + where[1]) == ["1", "2"]
        seen.add(where)
    assert where == ((), ("1", "2"))
    assert seen == {(("1", "2"), ()), ((), ("1", "2"))}


def test_what_is_returned_to_the_end_of_a_queue_is_there_once_whenever_the_machine_stops():
    arguments = {"x-queue-type": longstr("quorum"), "x-delivery-limit": Field("b", -1)}
    node = Node(q=arguments)
    client = node.client()
    publish(client, "1", "2")
    client.receive()
    client.get("q", no_ack=False)
    client.receive()
    (path,) = node.files.contents
    before = len(node.files.contents[path])
    client.send(1, "basic.nack", delivery_tag=1, requeue=True)
    client.receive()
    data = bytes(node.files.contents[path])
    for end in range(before, len(data) + 1):
        files = FaultyFiles()
        files.contents[path] = bytearray(data[:end])
        files.synced[path] = end
        assert bodies(Node(files, q=arguments), "q") == (["2", "1"] if end == len(data) else ["1", "2"])


def test_what_is_moved_before_it_is_written_is_written_once():
    node = Node(q={}, to={})
    client = node.client()
    publish(client, "1")
    queues = node.broker.vhosts["/"].queues
    assert queues["q"].move(queues["to"], 10, 1000) == 1
    node.broker.sync()
    node = node.crash()
    assert (bodies(node, "q"), bodies(node, "to")) == ([], ["1"])


def test_deadline_priority_headers_and_deaths_survive():
    arguments = {"x-max-priority": Field("I", 5), "x-message-ttl": Field("I", 60_000)}
    node = Node(q=arguments)
    client = node.client()
    publish(client, "low", priority=1, headers={"k": Field("l", 7)}, expiration="50000")
    publish(client, "high", priority=4)
    client.receive()
    node.clock.advance(40_000)
    after = node.crash()
    assert after.restored == 2
    client = after.client()
    got = [client.get("q", no_ack=False) for _ in range(2)]
    assert [(one.body, one.properties["priority"]) for one in got] == [(b"high", 4), (b"low", 1)]
    assert got[1].properties["headers"] == {"k": Field("l", 7)}
    client.turn()
    again = after.crash()
    node.clock.advance(11_000)
    got = again.client().get("q")
    assert (got.body, got.arguments["redelivered"]) == (b"high", True)
    assert bodies(again) == []


def test_delivery_count_of_a_quorum_queue_survives_and_transient_is_stored_there():
    node = Node(q={"x-queue-type": longstr("quorum")})
    client = node.client()
    client.publish("q", b"m")
    client.receive()
    for tag in (1, 2):
        client.get("q", no_ack=False)
        client.send(1, "basic.nack", delivery_tag=tag, requeue=True)
        client.receive()
    got = node.crash().client().get("q")
    assert got.properties["headers"]["x-delivery-count"] == Field("l", 2)
    assert got.arguments["redelivered"] is True


def test_purged_and_deleted_messages_do_not_come_back_and_free_their_segments():
    node = Node(q={}, other={})
    client = node.client()
    publish(client, *"abc")
    publish(client, "d", queue="other")
    client.receive()
    client.call(1, "queue.purge", queue="q")
    client.call(1, "queue.delete", queue="other")
    client.turn()
    assert node.persistence.journal.living.of(1).count == 0
    assert bodies(node.crash()) == []


def test_after_a_failed_sync_nothing_is_confirmed_and_nothing_confirmed_is_lost():
    node = Node()
    client = node.client()
    client.call(1, "confirm.select")
    publish(client, "safe")
    assert [got.name for got in client.receive()] == ["basic.ack"]
    node.files.fail_sync = node.files.syncs + 1
    publish(client, "lost")
    assert client.receive() == []
    assert len(node.failures) == 1
    publish(client, "later")
    assert client.receive() == []
    node.clock.advance(10_000)
    assert node.stuck == []
    assert bodies(node.crash()) == ["safe"]


# --- a disk that takes nothing for a while ----------------------------------------------------------------------------


class FullFiles(FaultyFiles):
    """Every write fails with `refuses`, an errno, if that is set, and leaves half its data behind."""

    refuses = 0
    refuses_to_cut = False
    forgets = False

    def write(self, descriptor, *parts):
        if self.refuses:
            data = b"".join(parts)
            super().write(descriptor, data[: len(data) // 2])
            raise OSError(self.refuses, "refused")
        super().write(descriptor, *parts)

    def truncate(self, descriptor, size):
        if self.refuses_to_cut:
            raise OSError(errno.EIO, "refused")
        super().truncate(descriptor, size)

    def read(self, descriptor, offset, size):
        data = super().read(descriptor, offset, size)
        return bytes(len(data)) if self.forgets else data


def crashed_copy(node):
    """What a broker would have that starts now, after the power went; this one goes on."""
    return Node(copy.deepcopy(node.files)).crash()


def confirming(node):
    client = node.client()
    client.call(1, "confirm.select")
    return client


def acks(client):
    return [got.arguments["delivery_tag"] for got in client.receive() if got.name == "basic.ack"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
@pytest.mark.parametrize("first", [True, False])
def test_a_batch_that_the_disk_does_not_take_is_tried_again_each_second(number, first):
    node = Node(FullFiles())
    client = confirming(node)
    expected = []
    if not first:
        publish(client, "before")
        assert acks(client) == [1]
        expected = ["before"]
    before = {path: bytes(content) for path, content in node.files.contents.items()}
    node.files.refuses = number
    publish(client, "kept")
    assert acks(client) == []
    assert [error.errno for error in node.stuck] == [number]
    assert node.files.contents == before
    publish(client, "gathered")
    assert acks(client) == []
    node.clock.advance(3_500)
    assert acks(client) == []
    assert len(node.stuck) == 1
    assert node.files.contents == before
    assert bodies(crashed_copy(node)) == expected
    node.files.refuses = 0
    node.clock.advance(499)
    assert acks(client) == []
    node.clock.advance(1)
    assert acks(client) == [len(expected) + 2]
    assert node.stuck[1:] == [None]
    assert node.failures == []
    assert bodies(node.crash()) == [*expected, "kept", "gathered"]


class CrowdedFiles(FaultyFiles):
    """A new segment, or the directory, is one file too many, as long as that is in `fails`."""

    fails = ()

    def create(self, path):
        if "create" in self.fails:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().create(path)

    def sync_directory(self, directory):
        if "directory" in self.fails:
            raise OSError(errno.ENFILE, "Too many open files in system")
        super().sync_directory(directory)


@pytest.mark.parametrize("what", ["create", "directory"])
def test_a_segment_for_which_there_are_too_many_open_files_is_tried_again_each_second(what):
    node = Node(CrowdedFiles())
    client = confirming(node)
    publish(client, "before")
    assert acks(client) == [1]
    node.persistence.journal.segment_bytes = 100
    before = {path: bytes(content) for path, content in node.files.contents.items()}
    node.files.fails = (what,)
    publish(client, "kept")
    assert acks(client) == []
    node.clock.advance(1_500)
    assert (acks(client), node.failures, len(node.stuck)) == ([], [], 1)
    assert node.files.contents == before
    node.files.fails = ()
    node.clock.advance(500)
    assert acks(client) == [2]
    assert bodies(node.crash()) == ["before", "kept"]


def test_while_the_disk_takes_nothing_messages_are_delivered_and_acked():
    node = Node(FullFiles())
    client = confirming(node)
    publish(client, "a")
    client.receive()
    node.files.refuses = errno.ENOSPC
    publish(client, "b")
    client.receive()
    assert [client.get("q", no_ack=False).body for _ in range(2)] == [b"a", b"b"]
    client.send(1, "basic.ack", delivery_tag=2, multiple=True)
    publish(client, "c")
    client.turn()
    node.files.refuses = 0
    node.clock.advance(1_000)
    assert acks(client) == [3]
    assert bodies(node.crash()) == ["c"]


def test_a_commit_waits_until_the_disk_takes_it():
    node = Node(FullFiles())
    client = node.client()
    client.call(1, "tx.select")
    node.files.refuses = errno.ENOSPC
    publish(client, "x")
    client.send(1, "tx.commit")
    assert client.receive() == []
    node.files.refuses = 0
    node.clock.advance(1_000)
    assert [got.name for got in client.receive()] == ["tx.commit-ok"]


def test_a_disk_that_is_full_twice_is_told_twice():
    node = Node(FullFiles())
    client = confirming(node)
    for _ in range(2):
        node.files.refuses = errno.ENOSPC
        publish(client, "m")
        client.turn()
        node.files.refuses = 0
        node.clock.advance(1_000)
    assert [error and error.errno for error in node.stuck] == [errno.ENOSPC, None] * 2


def stuck_node():
    node = Node(FullFiles())
    client = confirming(node)
    publish(client, "safe")
    assert acks(client) == [1]
    node.files.refuses = errno.ENOSPC
    publish(client, "lost")
    assert acks(client) == []
    return node, client


@pytest.mark.parametrize("how", ["cannot cut off", "cannot read back", "another error"])
def test_what_is_in_doubt_after_a_failed_write_is_never_tried_again(how):
    node = Node(FullFiles())
    client = confirming(node)
    publish(client, "safe")
    assert acks(client) == [1]
    node.files.refuses_to_cut = how == "cannot cut off"
    node.files.refuses = errno.EBADF if how == "another error" else errno.ENOSPC
    publish(client, "lost")
    assert acks(client) == []
    node.files.refuses = 0
    node.files.forgets = how == "cannot read back"
    node.clock.advance(5_000)
    assert acks(client) == []
    assert len(node.failures) == 1
    assert None not in node.stuck
    node.files.forgets = False
    assert bodies(node.crash()) == ["safe"]


def test_closing_tries_a_stuck_batch_once_more(caplog):
    node, client = stuck_node()
    publish(client, "gathered")
    client.turn()
    node.files.refuses = 0
    node.persistence.close()
    assert bodies(node.crash()) == ["safe", "lost", "gathered"]


def test_closing_with_a_disk_that_takes_nothing_tells_what_is_lost(caplog):
    node, client = stuck_node()
    publish(client, "gathered")
    client.turn()
    with caplog.at_level(logging.ERROR), pytest.raises(StoreError, match="refused"):
        node.persistence.close()
    assert "2 operations, not confirmed, are lost" in caplog.text
    assert bodies(node.crash()) == ["safe"]


def test_a_long_message_and_extra_keys_survive():
    node = Node(q={}, copy={})
    client = node.client()
    body = bytes(range(256)) * 2000
    client.publish("q", body, delivery_mode=2, headers={"CC": Field("A", [longstr("copy")])})
    client.receive()
    after = node.crash()
    client = after.client()
    assert client.get("q").body == body
    assert client.get("copy").body == body


MANY_KEYS = tuple(f"key{number}" for number in range(300))
LONG_KEYS = ("k" * 300, "copy", "")


@pytest.mark.parametrize("keys", [MANY_KEYS, LONG_KEYS, ("k" * 255,) * 255])
def test_any_extra_keys_survive(keys):
    node = Node(q={}, copy={})
    client = confirming(node)
    headers = {"CC": Field("A", [longstr(key) for key in keys[1:]]), "BCC": Field("A", [longstr(keys[0])])}
    client.publish("q", b"safe", delivery_mode=2, headers=headers)
    assert acks(client) == [1]
    after = node.crash()
    entry = after.broker.vhosts["/"].queues["q"].ready.head()
    assert entry.message.extra_keys == tuple(key.encode() for key in (*keys[1:], keys[0]))
    assert entry.message.cc_keys == len(keys) - 1
    assert bodies(after) == ["safe"]


def test_more_extra_keys_than_can_be_stored_are_refused():
    client = Node().client()
    client.publish("q", delivery_mode=2, headers={"CC": Field("A", [longstr("k" * 65_020)])})
    (refusal,) = client.receive()
    assert refusal.arguments["reply_text"] == (
        "PRECONDITION_FAILED - invalid message: there are too many routing keys in its CC and BCC headers"
    )


def test_a_dead_letter_with_too_long_a_key_is_told_what_fits():
    dead = {"x-dead-letter-exchange": longstr("amq.fanout"), "x-dead-letter-routing-key": longstr("r" * 300)}
    node = Node(q={}, source=dead)
    client = node.client()
    client.call(1, "queue.bind", queue="q", exchange="amq.fanout", routing_key="")
    client.publish("source", b"died", delivery_mode=2)
    client.get("source", no_ack=False)
    client.send(1, "basic.reject", delivery_tag=1, requeue=False)
    assert client.receive() == []
    assert client.get("q").arguments["routing_key"] == "r" * 255


class Broken(Destination):
    def publish(self, message):
        raise RuntimeError("for the test")


class ToBroken:
    """An exchange type that leads to something broken."""

    name = "broken"
    keyed = per_key = False

    def route(self, routing_key, message):
        return [Broken("broken")]


@pytest.mark.parametrize("how", ["dead letter", "transaction"])
def test_what_is_published_after_an_internal_error_is_stored(how, caplog):
    node = Node(q={}, source={"x-dead-letter-exchange": longstr("amq.fanout")})
    node.broker.vhosts["/"].exchanges["amq.fanout"].type = ToBroken()
    client = node.client()
    if how == "dead letter":
        client.publish("source", delivery_mode=2)
        client.get("source", no_ack=False)
        client.send(1, "basic.reject", delivery_tag=1, requeue=False)
    else:
        client.call(1, "tx.select")
        client.publish("", exchange="amq.fanout", delivery_mode=2)
        client.send(1, "tx.commit")
    (refusal,) = client.receive()
    assert refusal.arguments["reply_code"] == 541
    assert "for the test" in caplog.text
    other = confirming(node)
    for number in range(1, 4):
        publish(other, "safe")
        assert acks(other) == [number]
    assert bodies(node.crash()) == ["safe"] * 3


def test_nothing_is_confirmed_after_a_batch_that_cannot_be_encoded():
    node = Node()
    client = confirming(node)
    node.broker.vhosts["/"].queues["q"].id = 1 << 70
    publish(client, "lost")
    assert acks(client) == []
    node.broker.vhosts["/"].queues["q"].id = 1
    publish(client, "lost too")
    assert acks(client) == []
    assert len(node.failures) == 1


def in_memory(node, queue="q"):
    """How many of a queue's ready messages are in memory."""
    line = node.broker.vhosts["/"].queues[queue].ready
    return len(line.line) + len(line._tail) + sum(len(page.entries) for page in line._pages)


def filled(count, **properties):
    node = Node()
    client = node.client()
    for start in range(0, count, 500):
        for i in range(start, min(start + 500, count)):
            client.publish("q", b"%d" % i, **(properties or {"delivery_mode": 2}))
        client.turn()
    return node


class UnreadableFiles(FaultyFiles):
    unreadable = False

    def read(self, *arguments):
        if self.unreadable:
            raise OSError(errno.EIO, "Input/output error")
        return super().read(*arguments)


def holding_all_in_memory():
    """A broker and its client, which holds all of a queue that is not on the disk."""
    node = Node(UnreadableFiles(), q={}, copy={})
    client = node.client()
    for start in range(0, 6_000, 500):
        for i in range(start, start + 500):
            client.publish("q", b"%d" % i, delivery_mode=2)
        client.turn()
    client.publish("copy", b"kept", delivery_mode=2)
    client.turn()
    line = node.broker.vhosts["/"].queues["q"].ready.line
    holder = node.client()
    while line:
        holder.get("q", no_ack=False)
    return node, holder


def test_what_is_given_back_before_all_pages_takes_no_reading():
    node, holder = holding_all_in_memory()
    node.files.unreadable = True
    holder.connection.lost()
    client = node.client()
    assert client.depth("q") == 6_000
    assert client.get("q", no_ack=False).body == b"0"


def test_a_queue_that_cannot_be_read_does_not_keep_what_others_are_given_back(caplog):
    node, holder = holding_all_in_memory()
    holder.call(2, "channel.open")
    holder.get("copy", channel=2, no_ack=False)
    # As if it had been behind what is on the disk.
    holder.connection.channels[1].unacked[1].sequence = 1 << 40
    node.files.unreadable = True
    holder.connection.lost()
    assert "could not be given back" in caplog.text
    client = node.client()
    assert client.get("copy").body == b"kept"
    assert len(node.broker.sessions) == 2


def test_a_deep_queue_keeps_only_its_ends_in_memory_and_its_order():
    node = filled(10_000)
    assert in_memory(node) < 5_000
    assert node.broker.vhosts["/"].queues["q"].ready_count == 10_000
    assert bodies(node) == [str(i) for i in range(10_000)]
    assert node.persistence.journal.living.of(1).count == 0


def test_what_is_requeued_goes_before_what_is_paged():
    node = filled(6_000)
    client = node.client()
    for _ in range(1_500):
        client.send(1, "basic.get", queue="q")
    client.receive()
    client.send(1, "basic.nack", delivery_tag=1_500, multiple=True, requeue=True)
    client.turn()
    assert bodies(node) == [str(i) for i in range(6_000)]


def test_transient_messages_among_stored_ones_keep_their_place():
    node = Node()
    client = node.client()
    for i in range(8_000):
        client.publish("q", b"%d" % i, delivery_mode=2 if i // 1_500 % 2 else 1)
        if i % 500 == 0:
            client.turn()
    client.turn()
    assert in_memory(node) < 7_500
    assert bodies(node) == [str(i) for i in range(8_000)]


def test_a_deep_queue_survives_and_is_purged():
    node = filled(5_000)
    after = node.crash()
    assert in_memory(after) == 0
    client = after.client()
    assert client.get("q").body == b"0"
    assert client.call(1, "queue.purge", queue="q").arguments["message_count"] == 4_999
    client.turn()
    assert bodies(after.crash()) == []


def test_large_bodies_are_paged_by_their_size():
    node = Node()
    client = node.client()
    for i in range(30):
        client.publish("q", bytes([i]) * 1_000_000, delivery_mode=2)
        client.turn()
    assert in_memory(node) < 12
    got = [client.get("q").body for _ in range(30)]
    assert got == [bytes([i]) * 1_000_000 for i in range(30)]


def test_stragglers_are_written_again_and_their_segment_freed():
    node = Node(keep={}, q={})
    node.persistence.journal.segment_bytes = 20_000
    client = node.client()
    publish(client, "straggler", "settled later", "read later", queue="keep")
    client.turn()
    client.get("keep", no_ack=False)
    client.turn()
    for i in range(600):
        publish(client, str(i) * 20)
        client.turn()
        client.get("q")
    client.turn()
    journal = node.persistence.journal
    assert min(journal.segments) > 1
    assert len(journal.segments) <= 4
    assert client.get("keep", no_ack=True).body == b"settled later"
    client.turn()
    after = node.crash()
    client = after.client()
    got = client.get("keep")
    assert (got.body, got.arguments["redelivered"]) == (b"straggler", True)
    assert bodies(after, "keep") == ["read later"]


def test_what_was_settled_in_an_earlier_life_is_not_written_again():
    node = Node(keep={}, q={})
    publish(node.client(), *"abcdefgh", queue="keep")
    client = node.client()
    publish(client, *map(str, range(100)))
    client.turn()
    assert len(bodies(node)) == 100
    node = node.crash()
    node.persistence.journal.segment_bytes = 2_000
    client = node.client()
    for _ in range(7):
        client.get("keep")
    for i in range(100):
        publish(client, str(i))
        client.turn()
        client.get("q")
    client.turn()
    after = node.crash()
    assert (bodies(after, "keep"), bodies(after)) == (["h"], [])
    assert min(node.persistence.journal.segments) > 1


def test_paged_messages_are_found_after_they_were_written_again():
    node = filled(5_000)
    node.persistence.journal.segment_bytes = 20_000
    client = node.client()
    for _ in range(4_000):
        client.send(1, "basic.get", queue="q", no_ack=True)
    client.receive()
    for i in range(300):
        client.publish("q", b"%d" % (5_000 + i), delivery_mode=2)
        client.turn()
    assert min(node.persistence.journal.segments) > 1
    assert bodies(node) == [str(i) for i in range(4_000, 5_300)]


def test_the_directory_shrinks_after_a_drain():
    node = Node()
    node.persistence.journal.segment_bytes = 50_000
    client = node.client()
    for i in range(5_000):
        client.publish("q", b"%d" % i * 10, delivery_mode=2)
        if i % 100 == 0:
            client.turn()
    client.turn()
    assert len(node.files.contents) > 5
    bodies(node)
    assert len(node.files.contents) <= 2


# --- space ------------------------------------------------------------------------------------------------------------

SEGMENT_BYTES = 20_000


class CountingFiles(FaultyFiles):
    """written: octets that were."""

    written = 0

    def write(self, descriptor, *parts):
        self.written += sum(map(len, parts))
        super().write(descriptor, *parts)


def journal_bytes(node):
    return sum(len(content) for content in node.files.contents.values())


def bound(node):
    """Twice what lives and a few segments."""
    return 2 * node.persistence.journal.living.octets + 4 * SEGMENT_BYTES


def test_a_few_parked_messages_do_not_keep_what_passes_them():
    node = Node(CountingFiles(), parked={}, q={})
    node.persistence.journal.segment_bytes = SEGMENT_BYTES
    client = node.client()
    publish(client, *map(str, range(40)), queue="parked")
    client.turn()
    client.consume("q", no_ack=False)
    for start in range(0, 5_000, 10):
        publish(client, *(f"{number:0100}" for number in range(start, start + 10)))
        client.turn()
        client.send(1, "basic.ack", delivery_tag=start + 10, multiple=True)
        client.receive()
        assert journal_bytes(node) <= bound(node)
    assert len(node.files.contents) <= 5
    assert bodies(node.crash(), "parked") == [str(number) for number in range(40)]


@pytest.mark.parametrize("seed", range(4))
def test_the_journal_is_bounded_by_what_lives_and_so_is_what_is_written_for_it(seed):
    chance = random.Random(seed)
    queues = {"a": {}, "b": {}, "c": {}}
    node = Node(CountingFiles(), **queues)
    node.persistence.journal.segment_bytes = SEGMENT_BYTES
    client = node.client()
    for queue in queues:
        client.call(1, "queue.bind", queue=queue, exchange="amq.fanout")
    published = 0
    expected = {queue: [] for queue in queues}
    for number in range(1_500):
        body = f"{number:0{chance.choice((10, 100, 1_000))}}".encode()
        queue = chance.choice(("a", "a", "b", "c", None))
        exchange = "" if queue else "amq.fanout"
        client.publish(queue or "", body, exchange=exchange, delivery_mode=2)
        for name in queues if queue is None else [queue]:
            expected[name].append(body)
        published += len(body) + 150
        if chance.random() < 0.5:
            client.turn()
        # One queue keeps nothing for long, one grows to some length, one grows until it is purged.
        while len(expected["a"]) > chance.randint(0, 5):
            assert client.get("a").body == expected["a"].pop(0)
        while len(expected["b"]) > 60:
            assert client.get("b").body == expected["b"].pop(0)
        if len(expected["c"]) > 300:
            client.call(1, "queue.purge", queue="c")
            expected["c"].clear()
        client.turn()
        assert journal_bytes(node) <= bound(node)
    assert node.files.written < 3 * published
    after = node.crash()
    assert {queue: [text.encode() for text in bodies(after, queue)] for queue in queues} == expected


def test_what_is_moved_can_be_read_before_its_new_place_is_written():
    node = Node(committer=LaterCommitter, parked={}, q={})
    node.persistence.journal.segment_bytes = SEGMENT_BYTES
    client = node.client()
    for number in range(3_000):
        publish(client, f"{number:050}", queue="parked" if number % 50 == 0 else "q")
        if number % 100 == 99:
            client.turn()
            node.committer.finish()
    positions = [entry.position for entry in node.broker.vhosts["/"].queues["parked"].ready]
    bodies(node)
    seen = 0
    while node.committer.work:
        seen += bool(node.persistence._writings[0].moved)
        reading = node.persistence.reader.start(positions)
        read = [reading.message(position).frames[-51:-1] for position in positions]
        assert read == [b"%050d" % number for number in range(0, 3_000, 50)]
        node.committer.finish()
        node.broker.sync()
    assert seen > 1


def test_a_restart_gives_back_what_nothing_lives_in():
    node = Node()
    node.persistence.journal.segment_bytes = SEGMENT_BYTES
    client = node.client()
    for number in range(2_000):
        publish(client, f"{number:050}")
        if number % 100 == 99:
            client.turn()
    node.persistence.journal.free = lambda: False
    bodies(node)
    assert len(node.files.contents) > 10
    after = node.crash()
    assert len(after.files.contents) <= 2


def test_a_stop_gives_back_what_nothing_lives_in():
    node = Node(committer=LaterCommitter)
    node.persistence.journal.segment_bytes = SEGMENT_BYTES
    client = node.client()
    for number in range(2_000):
        publish(client, f"{number:050}")
        if number % 100 == 99:
            client.turn()
            node.committer.finish()
    while node.committer.work:
        node.committer.finish()
    for _ in range(2_000):
        client.get("q")
    assert len(node.files.contents) > 5
    node.committer.close = node.committer.finish
    node.persistence.close()
    assert len(node.files.contents) <= 2


def test_an_idle_broker_goes_on_until_the_journal_is_small():
    node = Node(committer=LaterCommitter, parked={}, q={})
    node.persistence.journal.segment_bytes = SEGMENT_BYTES
    client = node.client()
    for number in range(3_000):
        publish(client, f"{number:050}", queue="parked" if number % 50 == 0 else "q")
        if number % 100 == 99:
            client.turn()
            node.committer.finish()
    bodies(node)
    while node.committer.work:
        node.committer.finish()
        node.broker.sync()
    assert journal_bytes(node) <= bound(node)
    assert len(bodies(node, "parked")) == 60


# --- definitions ------------------------------------------------------------------------------------------------------


class Definitions:
    """Counts syncs; `error` is raised by them."""

    def __init__(self):
        self.syncs = 0
        self.error = None

    def sync(self):
        self.syncs += 1
        if self.error is not None:
            raise self.error


def defining(committer=InlineCommitter):
    definitions = Definitions()
    node = Node(committer=lambda journal: committer(journal, definitions.sync))
    return node, definitions


def test_definitions_are_synced_soon_without_a_message():
    node, definitions = defining()
    for _ in range(3):
        node.persistence.definitions_changed()
    node.clock.advance(99)
    assert definitions.syncs == 0
    node.clock.advance(1)
    assert definitions.syncs == 1
    node.clock.advance(1_000)
    assert definitions.syncs == 1
    assert node.files.writes == 0
    node.persistence.definitions_changed()
    node.clock.advance(100)
    assert definitions.syncs == 2


def test_a_batch_has_changed_definitions_synced():
    node, definitions = defining()
    client = node.client()
    node.persistence.definitions_changed()
    publish(client, "a")
    client.turn()
    assert definitions.syncs == 1
    node.clock.advance(1_000)
    assert definitions.syncs == 1


def test_definitions_that_change_while_a_batch_is_written_are_synced_after_it():
    class Later(LaterCommitter):
        def __init__(self, journal, before):
            super().__init__(journal)
            self.inline = InlineCommitter(journal, before)

    node, definitions = defining(Later)
    client = confirming(node)
    publish(client, "a")
    client.turn()
    node.persistence.definitions_changed()
    node.clock.advance(500)
    assert len(node.committer.work) == 1
    node.committer.finish()
    assert acks(client) == [1]
    assert definitions.syncs == 1
    node.clock.advance(100)
    publish(client, "b")
    assert acks(client) == []
    node.committer.finish()
    assert definitions.syncs == 2
    assert acks(client) == []
    node.committer.finish()
    assert acks(client) == [2]


def test_definitions_that_cannot_be_synced_stop_everything():
    node, definitions = defining()
    client = confirming(node)
    definitions.error = OSError(errno.ENOSPC, "full")
    node.persistence.definitions_changed()
    node.clock.advance(5_000)
    assert node.failures == [definitions.error]
    assert definitions.syncs == 1
    publish(client, "a")
    assert acks(client) == []
