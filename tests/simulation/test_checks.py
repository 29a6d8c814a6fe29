"""The checks of every world: each accepts a working broker, and reports one that is damaged by the test."""

from collections import deque
from functools import partial
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from anyio._backends._asyncio import _task_states

from amqpbroker.broker.counters.history import History
from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.lines.fifo_line import FifoLine
from amqpbroker.broker.queues.lines.read_retry import ReadRetry
from amqpbroker.client.protocol import Delivery
from amqpbroker.clock import Timer
from amqpbroker.config import Config
from amqpbroker.config.bounds import Bounds
from amqpbroker.server.http_protocol import HttpProtocol
from amqpbroker.shovel.transfer import KEEPING, Transfer
from tests.simulation.broker_process import DIRECTORY
from tests.simulation.checks import (
    RUNNING,
    batches,
    bindings,
    caches,
    deadlines,
    definitions_log,
    groups,
    heartbeats,
    held_memory,
    histories,
    journal_files,
    left_over,
    limit_counts,
    lines,
    loop_timer,
    memory,
    new_client,
    offered,
    pages,
    places,
    ready_counts,
    rest,
    restart,
    stops,
    stream_blocks,
    unacked_counts,
    unread_answers,
    unsent,
    unwritten,
    windows,
)
from tests.simulation.checks.batch_shares import BatchShares
from tests.simulation.checks.heads import Heads
from tests.simulation.checks.new_client import NewClient
from tests.simulation.checks.shares import Shares
from tests.simulation.checks.skips import Skips
from tests.simulation.checks.slice_shares import SliceShares
from tests.simulation.checks.watch import watch
from tests.simulation.counted_rows import counting
from tests.simulation.http import HttpClient, path
from tests.simulation.http_server import MANAGEMENT, METRICS
from tests.simulation.machine import Machine
from tests.simulation.scheduler import MS, SECOND
from tests.simulation.threads import pause
from tests.simulation.workloads.delays import Delays
from tests.simulation.workloads.flow import Flow
from tests.simulation.workloads.groups import Groups
from tests.simulation.workloads.modelled import Modelled
from tests.simulation.world import BrokenError, World, determined

#: A cancelled consumer without unacknowledged messages.
FORMER = SimpleNamespace(tag="former", unacked=0)

FLOW = {
    "kind": "classic",
    "persistent": 1.0,
    "publishers": 1,
    "unconfirmed": 0,
    "consumers": 1,
    "prefetch": 3,
    "priorities": 0,
}


GROUPS = {
    "kind": "classic",
    "fair": False,
    "on_dead": "park",
    "group_prefetch": 1,
    "versions": False,
    "limit": -1,
    "retry": False,
    "leaves": "",
    "keys": 3,
    "workers": 1,
    "prefetch": 1,
    "failing": 0.0,
}


@pytest.fixture
def world():
    """A broker with 20 messages in a queue, three of them delivered, and 20 delayed ones."""
    with determined(1):
        world = World(1, Config())
        workloads = [Flow(world, "flow", FLOW), Delays(world, "delays", {"longest_ms": 100_000})]
        world.boot()
        for workload in workloads:
            workload.begin()
        workloads[0].publishers[0].do_publish(20, 10)
        workloads[1].publisher.do_publish(20)
        world.run(2 * SECOND)
        yield world
        if world.process is not None:
            world.process.kill()


def queue_of(process):
    return process.broker.vhosts["/"].queues["flow"]


def held_by(process):
    return process.broker.vhosts["/"].exchanges["delays"].type.held


def channel_of(process):
    (consumer,) = queue_of(process).consumers.all
    return consumer._owner


def connection_of(process):
    return next(iter(process.broker.sessions))


def one_more(owner, attribute):
    setattr(owner, attribute, getattr(owner, attribute) + 1)


def lose_timer(process):
    held = held_by(process)
    held._timer = Timer(process.clock, held._timer.due_ms, None, True)


def forget_output(process):
    connection_of(process).output.small.write(b"x")


def pile_up_output(process):
    connection_of(process).output.small.write(bytes(20 << 20))


def join_line(process, of):
    """Make a consumer wait in a line without a reason. of: gets the line of the channel, or of the connection."""
    of(channel_of(process)).waiting.join(queue_of(process).consumers.all[0])


def fire_late(process):
    process.service.timers._due_ms = process.clock.next_due_ms() + 1


def exchange_of(process):
    return process.broker.vhosts["/"].exchanges["amq.direct"]


def bind(process):
    process.broker.vhosts["/"].bind(exchange_of(process), queue_of(process), b"k", {})


def forget_binding(process):
    bind(process)
    queue_of(process).incoming.popitem()


def remember_binding(process):
    bind(process)
    exchange_of(process).bindings.clear()


def retain_key(process):
    bind(process)
    exchange_of(process).type._bindings.add(b"other", queue_of(process))


def misroute(process):
    """Change a cached route of a publisher."""
    known = [each.channels[1].publishing.routes.known for each in process.broker.sessions]
    next(route for routes in known for route in routes.values() if route.destinations).destinations = ()


def stop_monitor(process):
    heartbeat = connection_of(process).heartbeat
    heartbeat.start(10, lambda _: None)
    heartbeat.pause_monitor()


def deactivate(process):
    """Leave the waiting messages of a queue with a single active consumer without one."""
    queue_of(process).consumers.single_active = True


def await_reading(process):
    """Make a queue wait to read messages again, without a timer."""
    read_retry = ReadRetry(process.clock, "flow", "/")
    read_retry.failed(OSError(), lambda: None)
    read_retry.stop()
    queue_of(process)._read_retry = read_retry


def record_histories(process):
    """Record a history more than allowed, of objects without counters."""
    for number in range(process.broker.config.bounds.histories + 1):
        process.broker.rates._histories._histories[Fake(counter_names=(), number=number)] = History(1)


def leave_unread(process):
    process.accept_http(MANAGEMENT)
    (server,) = process.http_servers()
    server.answers._waiting_bytes = 1


def stall_for_ever(process):
    process.accept_http(MANAGEMENT)
    (server,) = process.http_servers()
    server.answers._stalled[object()] = SimpleNamespace(since=1.0, due=100.0, size=0)


class Fake:
    """An object with given attributes that can be a key."""

    def __init__(self, **attributes):
        vars(self).update(attributes)


#: An entry that was never delivered.
NEW = SimpleNamespace(acquired_count=0)


DAMAGES = [
    (ready_counts, lambda process: one_more(queue_of(process).ready, "count")),
    (ready_counts, lambda process: one_more(queue_of(process).ready, "size")),
    (ready_counts, lambda process: one_more(queue_of(process).expiry, "count")),
    (ready_counts, lambda process: one_more(queue_of(process).ready, "_tail_size")),
    (unacked_counts, lambda process: one_more(queue_of(process).outstanding, "count")),
    (unacked_counts, lambda process: one_more(queue_of(process).outstanding, "size")),
    (unacked_counts, lambda process: one_more(queue_of(process).consumers.all[0], "unacked")),
    (unacked_counts, lambda process: one_more(channel_of(process).unacked, "settled")),
    (unacked_counts, lambda process: setattr(queue_of(process).consumers.all[0], "prefetch", 2)),
    (offered, lambda process: one_more(queue_of(process).consumers.all[0], "prefetch")),
    (offered, deactivate),
    (deadlines, lose_timer),
    (deadlines, await_reading),
    (deadlines, lambda process: held_by(process)._recent.reverse()),
    (unsent, forget_output),
    (memory, pile_up_output),
    (held_memory, lambda process: one_more(held_by(process), "_recent_bytes")),
    (unwritten, lambda process: setattr(process.store, "waiting_bytes", 1 << 40)),
    (caches, lambda process: one_more(process.broker.vhosts["/"], "remembered")),
    (bindings, forget_binding),
    (bindings, remember_binding),
    (bindings, retain_key),
    (bindings, misroute),
    (heartbeats, stop_monitor),
    (places, lambda process: setattr(queue_of(process).ready, "_disordered", True)),
    (limit_counts, lambda process: one_more(process.broker.limits, "_channels")),
    (lines, lambda process: join_line(process, lambda channel: channel.unacked)),
    (lines, lambda process: join_line(process, lambda channel: channel.context.output)),
    (lines, lambda process: queue_of(process).consumers.all[0].pause()),
    (lines, lambda process: queue_of(process).outstanding._former.append(FORMER)),
    (stream_blocks, lambda process: one_more(process.store.streams.cache, "size_bytes")),
    (histories, record_histories),
    (histories, lambda process: process.broker.rates._history._numbers.extend(range(100_000))),
    (pages, lambda process: queue_of(process).ready._tail.extend([NEW] * 2049)),
    (pages, lambda process: queue_of(process).ready.line.extend([NEW] * 2050)),
    (unread_answers, leave_unread),
    (unread_answers, stall_for_ever),
    (loop_timer, fire_late),
    (loop_timer, lambda process: setattr(process.service.timers, "_handle", None)),
]


def test_working_broker_passes_all_checks(world):
    assert [fault for check in RUNNING for fault in check(world.process)] == []


def test_unacked_count_ignores_entries_of_deleted_queues(world):
    (client,) = (each for each in world.clients if each.name == "flowc0")
    client.cancelled = lambda got: None
    (consumer,) = queue_of(world.process).consumers.all
    channel = channel_of(world.process)
    client.send(1, "basic.cancel", consumer_tag=consumer.tag, nowait=True)
    client.send(1, "basic.consume", queue="flow", consumer_tag=consumer.tag, nowait=True)
    client.send(1, "queue.delete", queue="flow", nowait=True)
    world.run(SECOND)
    assert [entry.consumer.unacked for entry in channel.unacked.held()] == [3] * 6
    assert list(unacked_counts.check(world.process)) == []


@pytest.mark.parametrize(("check", "damage"), DAMAGES)
def test_every_check_finds_its_planted_damage(world, check, damage):
    damage(world.process)
    assert list(check.check(world.process))


def test_too_large_log_of_the_definitions_is_found(monkeypatch):
    with determined(1):
        world = World(1, Config(), sqlite=True)
        world.boot()
        world.run(10 * SECOND)
        process = world.process
        assert list(definitions_log.check(process)) == []
        for size, problems in ((4 << 20) - 1, 0), (4 << 20, 1), (17 << 20, 2):
            monkeypatch.setattr(process._definitions._log, "_size_bytes", lambda size=size: size)
            assert len(list(definitions_log.check(process))) == problems
        monkeypatch.undo()
        world.close()


def batches_of(world, due, complete):
    """Return batches of which some are due, and some complete, and a process that has them."""
    batches = Fake(
        _due=SimpleNamespace(_waiting=dict.fromkeys(due), _refused={}),
        _succeeded_members=SimpleNamespace(_waiting=complete),
    )
    batches.find = lambda id_: id_
    vhosts = {"/": SimpleNamespace(batches=batches)}
    return batches, SimpleNamespace(broker=SimpleNamespace(vhosts=vhosts, config=world.config))


@pytest.mark.parametrize(("left", "problems"), [(1, 0), (0, 1)])
def test_messages_about_too_many_batches_in_one_iteration_are_found(world, left, problems):
    due = [Fake() for _ in range(world.config.bounds.batch_events + 1)]
    for each in due:
        each.id = each
    batches, process = batches_of(world, due, {})
    shares = BatchShares(process)
    assert list(shares.check()) == []
    batches._due._waiting = dict.fromkeys(due[:left])
    assert len(list(shares.check())) == problems
    assert list(shares.check()) == []


@pytest.mark.parametrize(("left", "problems"), [(10, 0), (9, 1)])
def test_too_many_removed_members_in_one_iteration_are_found(world, left, problems):
    batch = Fake()
    batch.id = batch
    batches, process = batches_of(world, [], {batch: 10 + world.config.bounds.batch_removals})
    shares = BatchShares(process)
    assert list(shares.check()) == []
    batches._succeeded_members._waiting = {batch: left}
    assert len(list(shares.check())) == problems


@pytest.mark.parametrize(("passed", "problems"), [(3000, 0), (3001, 1)])
def test_too_many_messages_that_a_filter_passes_over_in_one_iteration_are_found(world, passed, problems):
    reader = SimpleNamespace(offset=10, _filter=object())
    settled = SimpleNamespace(count=0)
    stream = Fake(_readers={1: reader}, log=SimpleNamespace(first=0), delivered=0, outstanding=settled, name="s")
    skips = Skips(world.process)
    skips._left, skips._streams = 10, [stream]
    assert list(skips.check()) == []
    reader.offset += passed
    assert len(list(skips.check())) == problems


@pytest.mark.parametrize(("first", "problems"), [(11, 0), (10, 1)])
def test_messages_at_a_head_that_did_not_take_places_of_returned_ones_are_found(world, first, problems):
    line = FifoLine(object())
    most = 2 * world.config.bounds.page_count + 1
    entries = [Fake(sequence=sequence, acquired_count=0) for sequence in range(1, most + 11)]
    queue = Fake(name="q", ready=line, ledger=Fake(newest=len(entries)))
    heads = Heads(world.process)
    heads._left, heads._count, heads._queues = 10, len(world.process.broker.vhosts["/"].queues), [queue]
    # All messages before the first one are with consumers.
    line.line.append(entries[first - 1])
    assert list(heads.check()) == []
    line.line = deque(entries)
    assert len(list(heads.check())) == problems


@pytest.mark.parametrize(("rows", "problems"), [(10, 0), (9, 1)])
@pytest.mark.parametrize(
    ("listener", "address"),
    [
        (MANAGEMENT, path("queues")),
        (MANAGEMENT, path("queues", sort="messages", columns="name")),
        (MANAGEMENT, path("definitions", "/")),
        (METRICS, "/metrics"),
    ],
)
def test_too_many_rows_of_a_request_in_one_iteration_are_found(listener, address, rows, problems):
    with determined(1), counting():
        world = World(1, Config(bounds=Bounds(rows=10)))
        world.boot()
        world.run(SECOND)
        process = world.process
        vhost = process.broker.vhosts["/"]
        for number in range(25):
            vhost.declare_queue(f"q{number}", False, False, False, {})
        found = set()
        # The check has another limit than the broker.
        other = SimpleNamespace(vhosts={}, config=Config(bounds=Bounds(rows=rows)))
        shares = SliceShares(SimpleNamespace(broker=other))
        process.loop.after_iteration = lambda: found.update(shares.check())
        client = HttpClient(world, "http")
        client.listener = listener
        statuses = []
        client.request("GET", address, lambda answer: statuses.append(answer.status))
        world.run(10 * SECOND)
        assert statuses == [200]
        assert bool(found) == bool(problems)
        world.close()


@pytest.mark.parametrize(("moved", "problems"), [(100, 0), (101, 1)])
def test_too_many_messages_of_a_redrive_in_one_iteration_are_found(world, moved, problems):
    task = Fake(source="dead", moved=5, failed=5, skipped=5)
    redrives = SimpleNamespace(running=1, current=lambda queue: task)
    vhost = SimpleNamespace(redrives=redrives, queues=["dead"], _sweep=SimpleNamespace(_jobs=[]))
    shares = SliceShares(SimpleNamespace(broker=SimpleNamespace(vhosts={"/": vhost}, config=world.config)))
    assert list(shares.check()) == []
    task.moved += moved - 2
    task.failed += 1
    task.skipped += 1
    assert len(list(shares.check())) == problems
    assert list(shares.check()) == []


@pytest.mark.parametrize(("removed", "problems"), [(100, 0), (101, 1), (110, 1)])
@pytest.mark.parametrize("returns", [False, True])
def test_too_many_removed_bindings_in_one_iteration_are_found(world, removed, problems, returns):
    source, destination = SimpleNamespace(closed=False), SimpleNamespace(name="q")
    bindings = [Fake(source=source, destination=destination) for _ in range(120)]
    job = Fake(bindings=dict.fromkeys(bindings))
    vhost = Fake(name="/", queues={}, redrives=SimpleNamespace(running=0), _sweep=SimpleNamespace(_jobs=[job]))
    shares = SliceShares(SimpleNamespace(broker=SimpleNamespace(vhosts={"/": vhost}, config=world.config)))
    assert list(shares.check()) == []
    job.bindings = dict.fromkeys(bindings[removed:])
    if returns:  # they may have been replaced by new ones
        vhost.queues = {"q": 1}
    assert len(list(shares.check())) == (0 if returns else problems)


@pytest.mark.parametrize(("counted", "held", "problems"), [(0, 2, 0), (1, 2, 1), (0, 3, 1)])
def test_shovel_that_reads_beyond_its_window_is_found(world, counted, held, problems):
    transfer = Transfer(Mock(), "on-confirm", None, 1)
    for tag in range(held):
        transfer.delivered(Delivery(tag, b"", b"q", b"", bytes(windows.SPARE_BYTES // 2 - KEEPING)))
    transfer._held_bytes += counted
    world.process.shovels.transfers = lambda: [transfer]
    assert len(list(windows.check(world.process))) == problems


def first_group(index):
    return next(iter(index.all()))


@pytest.mark.parametrize(
    "damage",
    [
        lambda index: one_more(first_group(index), "out"),
        lambda index: first_group(index).remove(first_group(index).first),
        lambda index: index.parked.add(1),
        lambda index: index.stopped_count.__setitem__(1, 1),
        lambda index: index.following.__setitem__(first_group(index), None),
        lambda index: index._taken.clear(),
        lambda index: index._late.__setitem__(1, first_group(index)),
        lambda index: first_group(index).clear(),
    ],
)
def test_index_of_groups_that_differs_from_the_messages_is_found(damage):
    with determined(1):
        world = World(1, Config())
        workload = Groups(world, "groups", GROUPS)
        world.boot()
        workload.begin()
        workload.publisher.do_publish(20)
        world.run_until(lambda: world.process is not None and bool(workload.workers[0].held), 10 * SECOND)
        process = world.process
        assert list(groups.check(process)) == []
        damage(process.broker.vhosts["/"].queues["groups"].line.groups)
        assert list(groups.check(process))
        process.kill()


def test_too_large_file_is_found(world):
    world.process.disk.contents[DIRECTORY / "journal" / "x"] = range(1 << 40)
    assert list(batches.check(world.process))


def test_too_much_output_in_one_iteration_is_found(world):
    shares = Shares(world.process)
    shares.begin()
    assert list(shares.check()) == []
    shares.begin()
    connection_of(world.process).output.send_oct += 1 << 30
    assert list(shares.check())


def test_too_many_expired_messages_in_one_iteration_are_found(world):
    shares = Shares(world.process)
    queue = queue_of(world.process)
    queue.apply_settings(QueueSettings(message_ttl_mode="any"))
    for left, problems in (10, 0), (1, 1), (0, 0):
        queue.expiry.count = 10 + world.process.broker.config.bounds.expiries
        shares.begin()
        queue.expiry.count = left
        assert len(list(shares.check())) == problems


def test_damage_in_a_running_broker_fails_the_simulation(world):
    watch(world, world.process)
    one_more(queue_of(world.process).ready, "size")
    with pytest.raises(BrokenError, match="a line of flow counts"):
        world.run(100 * SECOND)


def test_broker_at_rest_has_no_clients_and_no_unacknowledged_messages(world):
    assert {text.split(" ", 1)[1] for text in rest.busy(world)} == {"clients", "sessions", "unacknowledged of flow"}
    rest.check(world)
    assert rest.busy(world) == []


def test_a_broker_that_keeps_a_session_does_not_come_to_rest(world):
    world.process.broker.sessions[object()] = None
    with pytest.raises(BrokenError, match="sessions"):
        rest.check(world)


def test_missing_answer_to_a_new_client_is_found(world):
    world.process.loop.kill()
    with pytest.raises(BrokenError, match="a new client gets no further than: the connection"):
        new_client.check(world)


def test_new_client_gets_all_answers(world):
    new_client.check(world)
    world.run(SECOND)
    assert not any("http" in text.lower() or "new-" in text for text in rest.busy(world))


def test_http_request_of_a_new_client_without_an_answer_is_found(world, monkeypatch):
    monkeypatch.setattr(HttpProtocol, "data_received", lambda self, data: None)
    with pytest.raises(BrokenError, match="a new client gets no further than: the answer to GET /api/overview"):
        new_client.check(world)


def test_refused_http_request_of_a_new_client_is_found(world, monkeypatch):
    monkeypatch.setattr(new_client, "path", partial(path, "missing"))
    with pytest.raises(BrokenError, match=r"a new client's GET /api/missing/overview.* is answered with 404"):
        new_client.check(world)


def test_transaction_that_commits_nothing_is_found(world, monkeypatch):
    ask = NewClient._ask_in_transaction
    monkeypatch.setattr(
        NewClient, "_ask_in_transaction", lambda self, name, *then: ask(self, name.replace("commit", "rollback"), *then)
    )
    with pytest.raises(BrokenError, match="a new client gets no further than: its messages"):
        new_client.check(world)


def test_restarts_restore_the_same_state(world):
    for _ in range(6):
        restart.check(world)
        world.run(SECOND)


def test_restart_waits_for_a_batch_whose_files_replace_earlier_ones(world, monkeypatch):
    monkeypatch.setattr(restart, "WITHIN_NS", SECOND)
    contents, end = world.disk.contents, world.scheduler.now + 3 * SECOND

    def replace(number):
        contents.pop(DIRECTORY / f"{number - 1}.new", None)
        if world.scheduler.now < end:
            contents[DIRECTORY / f"{number}.new"] = bytearray()
            world.scheduler.after(400 * MS, partial(replace, number + 1))

    replace(1)
    is_synced = restart._is_synced
    monkeypatch.setattr(restart, "_is_synced", lambda world: world.scheduler.now > end + SECOND and is_synced(world))
    restart.check(world)
    assert world.scheduler.now > end


def test_restart_waits_for_many_batches_in_one_file(world, monkeypatch):
    monkeypatch.setattr(restart, "WITHIN_NS", SECOND)
    end = world.scheduler.now + 3 * SECOND
    world.disk.contents[DIRECTORY / "1.log"] = written = bytearray()

    def write():
        if world.scheduler.now < end:
            written.append(0)
            world.scheduler.after(400 * MS, write)
        else:
            del world.disk.contents[DIRECTORY / "1.log"]

    write()
    is_synced = restart._is_synced
    monkeypatch.setattr(restart, "_is_synced", lambda world: world.scheduler.now > end + SECOND and is_synced(world))
    restart.check(world)
    assert world.scheduler.now > end


def test_broker_is_replaced_after_an_orderly_stop_without_loss(world):
    process = world.process
    stops.stop(world, process)
    world.run(100 * SECOND)
    assert world.process is not process


def test_an_orderly_stop_that_loses_a_message_is_found(world, monkeypatch):
    monkeypatch.setattr(stops, "dump", lambda process, live: {("message", "/", "flow", 1000): {}} if live else {})
    stops.stop(world, world.process)
    with pytest.raises(BrokenError, match="after an orderly stop message / flow 1000 is missing"):
        world.run(100 * SECOND)


@pytest.mark.parametrize("how", ["a message more", "a message less", "another body", "another user"])
def test_different_state_after_a_restart_is_found(world, how):
    before = restart.dump(world.process, live=True)
    key = next(key for key in before if key[0] == "message")
    after = {each: dict(facts) for each, facts in before.items()}
    if how == "a message more":
        after["message", "/", "flow", 1000] = after[key]
    elif how == "a message less":
        del after[key]
    elif how == "another body":
        after[key]["body"] = b"other"
    else:
        del after[next(each for each in after if each[0] == "users")]
    assert list(restart.differences(before, before)) == []
    assert len(list(restart.differences(before, after))) == 1


def test_unused_file_in_the_data_directory_is_found(world):
    rest.check(world)
    journal_files.check(world)
    world.disk.contents[DIRECTORY / "spill" / "x.spill"] = bytearray()
    with pytest.raises(BrokenError, match="spill"):
        journal_files.check(world)


def test_left_over_objects_are_found(world, monkeypatch):
    monkeypatch.setattr(left_over, "ONE_OF", 1)
    rest.check(world)
    held_by(world.process).close()
    left_over.check(world)
    world.process.service.clients._insiders = {"left": "over"}
    with pytest.raises(BrokenError, match=r"Clients\._insiders"):
        left_over.check(world)


def test_container_of_a_queue_that_grows_is_left_over(world, monkeypatch):
    monkeypatch.setattr(left_over, "ONE_OF", 1)
    rest.check(world)
    held_by(world.process).close()
    queue_of(world.process).incoming["left"] = "over"
    with pytest.raises(BrokenError, match=r"left over: LocalQueue.incoming\[\]"):
        left_over.check(world)


def test_container_of_an_http_listener_that_grows_is_left_over(world, monkeypatch):
    monkeypatch.setattr(left_over, "ONE_OF", 1)
    rest.check(world)
    held_by(world.process).close()
    world.process.accept_http(METRICS)
    left_over.check(world)
    world.process.http_servers()[0]._state.default_headers.append("left over")
    with pytest.raises(BrokenError, match=r"left over: ServerState.default_headers\[\]"):
        left_over.check(world)


def test_broker_with_an_http_connection_is_not_at_rest(world):
    rest.check(world)
    scraper = HttpClient(world, "scraper")
    scraper.listener = METRICS
    scraper.request("GET", "/metrics/per-object", lambda answer: scraper.leave())
    while not any("HTTP connections of metrics" in text for text in rest.busy(world)):
        world.run(MS // 100)
    assert world.run_until(lambda: not rest.busy(world), 100 * SECOND)


def test_objects_that_end_with_the_broker_are_not_left_over(world, monkeypatch):
    monkeypatch.setattr(left_over, "ONE_OF", 1)
    rest.check(world)
    held_by(world.process).close()
    world.process.broker.users.set_permissions("guest", "/", "", "", "")
    world.process.broker.users.clear_permissions("guest", "/")
    vhost = world.process.broker.vhosts["/"]
    vhost.declare_exchange("transient", "topic", False, False, False, {})
    vhost.declare_queue("transient", False, False, False, {})
    world.run(SECOND)
    left_over.check(world)


def test_overlapping_memory_shortages_end(world):
    process, machine = world.process, Machine(world)
    for duration_ms in (5_000, 500, 500):
        machine.do_short_memory(duration_ms)
        world.run(MS)
    world.processor.stop(10_000 * MS)
    world.run(SECOND)
    assert process.broker._spill.short
    world.run(20 * SECOND)
    assert not process.broker._spill.short


def test_http_requests_of_a_killed_broker_are_not_left_over(world, monkeypatch):
    monkeypatch.setattr(left_over, "ONE_OF", 1)
    scraper = HttpClient(world, "scraper")
    scraper.listener = METRICS
    scraper.request("GET", "/metrics/per-object", lambda answer: None)
    while not any(task.get_loop() is world.process.loop for task in _task_states):
        world.run(MS // 100)
    world.crash(power=False)
    assert world.run_until(lambda: world.process is not None, 10 * SECOND)
    world.run(SECOND)
    rest.check(world)
    held_by(world.process).close()
    left_over.check(world)


def test_difference_from_the_model_is_found():
    with determined(1):
        world = World(2, Config())
        modelled = Modelled(world, "modelled", {"queues": 1})
        world.boot()
        modelled.begin()
        for _ in range(3):
            modelled.client.do_operate("publish", "modelled-plain", True, 0, -1, 10)
        assert world.run_until(modelled.is_done, 60 * SECOND)
        assert modelled.client.compared == 3
        world.process.broker.vhosts["/"].queues["modelled-plain"].ready.head().acquired_count = 1
        modelled.client.do_operate("publish", "modelled-plain", True, 0, -1, 10)
        with pytest.raises(BrokenError, match="modelled-plain"):
            world.run(60 * SECOND)
        world.process.kill()


def test_comparison_with_the_model_waits_for_the_end_of_an_iteration():
    with determined(1):
        world = World(2, Config())
        modelled = Modelled(world, "modelled", {"queues": 1})
        world.boot()
        modelled.begin()
        modelled.client.do_operate("publish", "modelled-plain", True, 0, -1, 10)
        assert world.run_until(modelled.is_done, 60 * SECOND)
        process = world.process
        ready = process.broker.vhosts["/"].queues["modelled-plain"].ready

        def move_head():
            ready.load_head()
            head = ready.pop()
            pause()
            ready.requeue([head])

        process.loop.call_soon(move_head)
        while ready.count:
            world.run(MS // 100)
        modelled.client._compare_all()
        assert modelled.client.compared == 1
        world.run(SECOND)
        assert modelled.client.compared == 2
        world.process.kill()


def test_state_after_a_crash_is_allowed_by_the_model():
    with determined(1):
        world = World(3, Config())
        modelled = Modelled(world, "modelled", {"queues": 1})
        world.boot()
        modelled.begin()
        for power in (False, True):
            for _ in range(5):
                modelled.client.do_operate("publish", "modelled-plain", True, 0, -1, 10)
            modelled.client.do_operate("get", "modelled-plain", False)
            assert world.run_until(modelled.is_done, 60 * SECOND)
            world.run(SECOND)
            world.crash(power)
            assert world.run_until(modelled.is_done, 60 * SECOND)
        assert modelled.client.begun == 1
        assert len(modelled.client._model.lines["modelled-plain"]) == 10
        world.process.kill()
