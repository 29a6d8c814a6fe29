"""Stores that are divided among parts, and merged, compared as a recovery and a broker find them."""

import pytest

from amqpbroker.broker.batches.batch import Batch
from amqpbroker.broker.jobs.job import Job, Place, recovered_job
from amqpbroker.store import record
from amqpbroker.store.copying.copying import copy
from amqpbroker.store.definitions.definitions import (
    KEYS,
    QueueDefinition,
    VhostDefinition,
)
from amqpbroker.store.journal.journal import Journal
from amqpbroker.store.log import StoreError
from amqpbroker.store.record import JOBS_ID
from amqpbroker.wire.frames import lone_content
from amqpbroker.wire.values import Field, longstr
from tests.broker.batches.batching import batch_headers
from tests.harness import Wire
from tests.store.copying.stores import (
    SHARED,
    MemoryTarget,
    clock_at,
    contents,
    lived,
    lived_apart,
    make_part,
    opened,
    source_of,
    started,
)

VHOSTS = ("/", "second", "third")


@pytest.fixture
def whole():
    return lived(*VHOSTS)


def copied(source, apart):
    target = MemoryTarget(apart)
    copy(source, target)
    return target


def require_same(found, expected):
    assert found.keys() == expected.keys()
    for vhost, described in expected.items():
        assert found[vhost].keys() == described.keys()
        for key, value in described.items():
            assert found[vhost][key] == value, (vhost, key)


def test_a_divided_store_has_everything_that_a_recovery_finds(whole):
    before = contents(whole.parts)
    assert before.keys() == {*VHOSTS}
    require_same(contents(copied(whole, apart=True).parts), before)


def test_merged_parts_have_everything_that_a_recovery_finds(whole):
    before = contents(whole.parts)
    divided = copied(whole, apart=True)
    merged = copied(divided.source(), apart=False)
    require_same(contents(merged.parts), before)
    for kind in SHARED:
        assert merged.definitions.all(kind) == whole.definitions.all(kind)


def test_parts_with_the_same_ids_and_numbers_can_be_merged():
    source = lived_apart("second", "third")
    target = copied(source, apart=False)
    require_same(contents(target.parts), contents(source.parts))


def test_the_copy_of_a_divided_store_may_be_divided(whole):
    divided = copied(whole, apart=True)
    require_same(contents(copied(divided.source(), apart=True).parts), contents(whole.parts))


def test_the_source_stays_as_it_is(whole):
    (part,) = whole.parts
    before = {path: bytes(data) for path, data in part.files.contents.items()}
    copied(whole, apart=True)
    assert part.files.contents == before


def test_numbers_are_those_of_what_is_copied(whole):
    done = copy(whole, MemoryTarget(apart=True))
    described = [(key, value) for vhost in contents(whole.parts).values() for key, value in vhost.items()]
    messages = [row for _, value in described if isinstance(value, dict) for row in value.get("copies", ())]
    assert done.messages == len(messages) > 100
    assert done.definitions == sum(len(whole.definitions.all(kind)) for kind in KEYS)
    streams = [segment for key, value in described if key == ("stream", "stream") for segment in value.values()]
    assert (done.segments, done.size_bytes) == (len(VHOSTS), sum(map(len, streams)))


# --- brokers ----------------------------------------------------------------------------------------------------------


def state(broker):
    """Return batches and jobs of all vhosts, without ids and numbers."""
    return {
        name: (
            [batch_state(batch) for batch in vhost.batches.all()],
            [job_state(job) for job in vhost.jobs.all()],
            {name: offset.offset for name, offset in tracked(vhost)},
        )
        for name, vhost in broker.vhosts.items()
        if vhost.queues
    }


def tracked(vhost):
    return [(each.consumer, each) for each in vhost.queues["stream"].tracking().all()]


def batch_state(batch: Batch):
    members = [(name[9:], each.outcome, each.failed_copies, each.stored_copies) for name, each in batch.members.items()]
    return batch.id, batch.state, batch.expires_ms, batch.total, batch.ok, members, list(batch.failures.values())


def job_state(job):
    places = [place._replace(holder_id=0) for place in job.places]
    return job.id, job.queues, job.expires_ms, places, job.done, job.failed, job.failure, job.read_reply()


def drained(broker, clock, vhosts=VHOSTS):
    """Return everything that clients get of each queue now, and later."""
    got = {}
    for vhost in vhosts:
        client = Wire(broker).log_in(vhost=vhost)
        for queue in broker.vhosts[vhost].queues:
            if queue != "stream":
                got[vhost, queue] = deliveries(client, queue)
    clock.advance(100_000)
    broker.sync()
    for vhost in vhosts:
        client = Wire(broker).log_in(vhost=vhost)
        for queue in broker.vhosts[vhost].queues:
            if queue != "stream":
                got[vhost, queue, "later"] = deliveries(client, queue)
        client.send(1, "basic.qos", prefetch_count=100)
        client.receive()
        first = {"x-stream-offset": Field("l", 0), "x-stream-automatic-offset-tracking": Field("t", True)}
        got[vhost, "stream"] = [each.body for each in client.consume("stream", "reader", no_ack=False, arguments=first)]
    return got


def deliveries(client, queue):
    found = []
    while (got := client.get(queue)).name == "basic.get-ok":
        found.append((got.body, got.properties, got.arguments["redelivered"], got.arguments["message_count"]))
    return found


def test_a_broker_goes_on_with_merged_parts_as_with_one_of_them():
    vhosts = ("second", "third")
    clock, merged_clock = clock_at(), clock_at()
    source = lived_apart(*vhosts)
    merged = copied(source, apart=False).running(merged_clock)
    found = state(merged), drained(merged, merged_clock, vhosts)
    for vhost, part in zip(vhosts, source.parts, strict=True):
        alone = started(part, clock)
        assert found[0][vhost] == state(alone)[vhost]
        for key, got in drained(alone, clock, [vhost]).items():
            assert found[1][key] == got, key
        clock = clock_at()


@pytest.mark.parametrize("merged", [False, True])
def test_a_broker_goes_on_with_a_copy_as_with_the_source(whole, merged):
    target = copied(whole, apart=True)
    if merged:
        target = copied(target.source(), apart=False)
    one, other = clock_at(), clock_at()
    before, after = started(whole.parts[0], one), target.running(other)
    assert list(after.vhosts) == list(before.vhosts) == [*VHOSTS]
    assert state(after) == state(before)
    wanted, got = drained(before, one), drained(after, other)
    assert got.keys() == wanted.keys()
    for key, found in wanted.items():
        assert got[key] == found, key
    assert wanted["second", "plain"][0][0] == b"second both 3"
    assert len(wanted["second", "plain", "later"]) == 2
    assert len(wanted["second", "stream"]) == 20
    assert state(after) == state(before)


@pytest.mark.parametrize("apart", [True, False])
def test_members_of_batches_stay_apart_from_later_ones(apart):
    vhosts = ("second", "third")
    broker = copied(lived_apart(*vhosts), apart).running(clock_at())
    for vhost in vhosts:
        client = Wire(broker).log_in(vhost=vhost)
        before = broker.vhosts[vhost].batches.find(b"batch 1").total
        # A member without a message id has a number, which no other member of the batch may have.
        client.publish("members", b"new", headers=batch_headers("batch 1", size=6), delivery_mode=2)
        client.receive()
        assert broker.vhosts[vhost].batches.find(b"batch 1").total == before + 1


@pytest.mark.parametrize("apart", [True, False])
def test_duplicates_are_recognised_in_a_copy(whole, apart):
    broker = copied(copied(whole, apart=True).source(), apart).running(clock_at())
    for vhost in VHOSTS:
        client = Wire(broker).log_in(vhost=vhost)
        for queue, via, accepted in (("unique", "", ["3"]), ("queued", "", ["1", "3"]), ("plain", "once", ["3"])):
            before = client.depth(queue)
            for key in ("1", "2", "3"):
                headers = {"x-deduplication-header": longstr(key)}
                client.publish(queue, key.encode(), via, headers=headers, delivery_mode=2)
            client.receive()
            assert client.depth(queue) == before + len(accepted), (vhost, queue)


# --- ids --------------------------------------------------------------------------------------------------------------


def test_ids_of_a_merged_store_are_not_used_again(whole):
    (part,) = copied(copied(whole, apart=True).source(), apart=False).parts
    queues = {queue.id for queue in part.definitions.all(QueueDefinition)}
    assert part.definitions.new_id() > max(queues)


def test_objects_of_a_vhost_that_does_not_exist_are_not_copied():
    part = make_part("/data")
    part.definitions.put(VhostDefinition("v"), QueueDefinition("v", "q", 1, False, b""))
    part.definitions.put(QueueDefinition("lost", "q", 2, False, b""))
    (copy_of,) = copied(source_of(part), apart=True).parts
    assert [queue.vhost for queue in copy_of.definitions.all(QueueDefinition)] == ["v"]


def test_a_job_of_a_deleted_queue_refers_to_no_other_one():
    """A later queue does not get the id of the deleted one either."""
    job = Job("v", b"id", 1, "u", 1_000, 2_000)
    job.places = [Place("", 7, 1, 0, True), Place("", 1, 2, 0, True), Place("", 0, 3, 0, False)]
    part = make_part("/data")
    part.definitions.put(VhostDefinition("v"), QueueDefinition("v", "q", 1, False, b""))
    write(part, record.took(JOBS_ID, 1, 0, job.new_record().key))
    (copy_of,) = copied(source_of(part), apart=True).parts
    journal = Journal(copy_of.journal, copy_of.files)
    (taken,) = journal.recover().ids[JOBS_ID].taken(JOBS_ID)
    assert [place.holder_id for place in recovered_job(taken, {}).places] == [2, 1, 0]
    assert copy_of.definitions.new_id() == 3


def test_segments_of_streams_get_new_names_with_their_indexes():
    part = make_part("/data")
    part.definitions.put(VhostDefinition("v"), QueueDefinition("v", "s", 7, False, b""))
    first, second, gone = (f"{number:08x}-{offset:020d}" for number, offset in ((7, 0), (7, 300), (8, 0)))
    for name in (first, second, gone):
        store_file(part, part.streams / f"{name}.stream", name.encode())
    for name in (first, gone):
        store_file(part, part.streams / f"{name}.index", b"index")
    store_file(part, part.streams / "other", b"other")
    target = MemoryTarget(apart=True)
    done = copy(source_of(part), target)
    assert (done.segments, done.size_bytes) == (2, len(first) + len(second))
    (copy_of,) = target.parts
    assert copy_of.files.contents == {
        copy_of.streams / f"00000001-{0:020d}.stream": first.encode(),
        copy_of.streams / f"00000001-{0:020d}.index": b"index",
        copy_of.streams / f"00000001-{300:020d}.stream": second.encode(),
    }


def store_file(part, path, data):
    descriptor = part.files.create(path)
    part.files.write(descriptor, data)
    part.files.close(descriptor)


def test_a_message_of_two_vhosts_is_divided():
    part = make_part("/data")
    names = [("v", "a"), ("w", "b"), ("v", "c"), ("w", "d")]
    part.definitions.put(VhostDefinition("v"), VhostDefinition("w"))
    part.definitions.put(*[QueueDefinition(*name, number, False, b"") for number, name in enumerate(names, 1)])
    write(part, record.publish(content(b"m"), [(number, number * 10, 0, 0) for number in (1, 2, 3, 4)]))
    target = copied(source_of(part), apart=True)
    require_same(contents(target.parts), contents([part]))
    assert [
        [each[0] for each in contents([copy_of])[vhost]["queue", name]["copies"]]
        for vhost, name in names
        for copy_of in [target.by_vhost[vhost]]
    ] == [[10], [20], [30], [40]]


def test_settled_messages_are_not_copied():
    part = make_part("/data")
    part.definitions.put(VhostDefinition("v"), QueueDefinition("v", "q", 1, False, b""))
    write(part, *[record.publish(content(b"m" * 1000), [(1, number, 0, 0)]) for number in range(1, 101)])
    store, found = opened(part, clock_at())
    store.settle_positions(found.copies[1].positions[:99])
    store.sync()
    (copy_of,) = copied(source_of(part), apart=True).parts
    assert sum(map(len, copy_of.files.contents.values())) < 2000
    assert len(contents([copy_of])["v"]["queue", "q"]["copies"]) == 1


def test_the_torn_end_of_a_source_is_not_copied_and_stays():
    part = make_part("/data")
    part.definitions.put(VhostDefinition("v"), QueueDefinition("v", "q", 1, False, b""))
    write(part, record.publish(content(b"m"), [(1, 1, 0, 0)]))
    before = contents([part])
    (path,) = part.files.contents
    part.files.contents[path] += b"torn"
    size = len(part.files.contents[path])
    target = copied(source_of(part), apart=True)
    assert contents(target.parts) == before
    assert len(part.files.contents[path]) == size


def test_a_group_with_records_of_all_kinds_stays_in_order():
    part = make_part("/data")
    part.definitions.put(VhostDefinition("v"), VhostDefinition("w"))
    part.definitions.put(QueueDefinition("v", "a", 1, False, b""), QueueDefinition("w", "b", 2, False, b""))
    group = b"".join(
        [
            record.took(1, 1, 9, b"first"),
            record.publish(content(b"1"), [(1, 1, 0, 0), (2, 1, 0, 0)]),
            record.took(2, 7, 9, b"second"),
            record.publish(content(b"2"), [(2, 2, 5, 3)]),
            record.publish(content(b"3"), [(1, 2, 0, 0)]),
        ]
    )
    write(part, group, group[: len(record.took(1, 1, 9, b"first"))])
    target = copied(source_of(part), apart=True)
    require_same(contents(target.parts), contents([part]))


def content(body):
    return record.Content(b"\0\0", lone_content(1, b"\0\0", [body], len(body)), len(body), 0, (), 0, 0)


def write(part, *records):
    journal = Journal(part.journal, part.files)
    journal.next_position()
    journal.write(journal.batch([piece for each in records for piece in (record.group(each), each)]))
    journal.close()


# --- refusals and failures --------------------------------------------------------------------------------------------


def test_a_target_that_is_not_empty_is_refused(whole):
    target = copied(whole, apart=False)
    before = contents(target.parts)
    with pytest.raises(StoreError, match="memory is not empty: name an empty database, or a directory that does not"):
        copy(whole, target)
    assert contents(target.parts) == before


def test_a_damaged_source_leaves_an_incomplete_target(whole):
    (part,) = whole.parts
    oldest = part.files.contents[part.journal / part.files.names(part.journal)[0]]
    oldest[1000] ^= 1
    target = MemoryTarget(apart=True)
    with pytest.raises(StoreError, match="damaged at offset"):
        copy(whole, target)
    assert not target.is_complete


def test_a_source_that_a_broker_has_used_meanwhile_leaves_an_incomplete_target(whole):
    def check():
        raise StoreError("a broker has taken over")

    target = MemoryTarget(apart=True)
    with pytest.raises(StoreError, match="a broker has taken over"):
        copy(whole._replace(check=check), target)
    assert not target.is_complete
