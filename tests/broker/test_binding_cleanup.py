"""Deletion of many bindings: it takes effect at once, and the bindings are then removed in slices."""

import collections
import itertools

import pytest

from amqpbroker import errors
from amqpbroker.broker.binding_cleanup import RETRY_MS
from amqpbroker.broker.broker import Broker
from amqpbroker.broker.exchanges.routing import route
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.store.definitions.definitions import BindingDefinition, MemoryDefinitions, QueueDefinition
from amqpbroker.store.definitions.sqlite_definitions import SqliteDefinitions
from amqpbroker.store.files import Files
from amqpbroker.store.store import MemoryStore
from amqpbroker.wire.values import longstr
from tests.broker.queueing import clock_of, declare
from tests.broker.routed import publishing

COUNT = 2 * BOUNDS.many_bindings + 7


def key(number):
    return b"%d" % (number + 1)


def bound(vhost, source, destination, count=COUNT):
    for number in range(count):
        vhost.bind(source, destination, key(number), {})


def exchange(vhost, name="x", kind="direct", durable=False, **options):
    arguments = options.pop("arguments", {})
    return vhost.declare_exchange(name, kind, durable, options.pop("auto_delete", False), False, arguments)


def reached(vhost, source, number=0):
    """Return the queues that a message reaches."""
    return [each.name for each in route(source, publishing(key(number)), vhost.exchanges.get).destinations]


def swept(vhost):
    """Run the sweep to its end; return the number of slices."""
    clock, slices = clock_of(vhost), 0
    while clock.next_due_ms() is not None and clock.next_due_ms() <= clock.now_ms():
        clock.fire_due()
        slices += 1
    return slices


# --- immediate effect -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["direct", "topic", "fanout", "headers", "x-random", "x-consistent-hash"])
def test_deleted_queue_gets_no_messages_while_its_bindings_are_removed(vhost, kind):
    source, gone, left = exchange(vhost, kind=kind), declare(vhost, "gone"), declare(vhost, "left")
    bound(vhost, source, gone)
    bound(vhost, source, left, 3)
    vhost.delete_queue(gone)
    assert "gone" not in vhost.queues
    for _ in range(5):
        assert [reached(vhost, source, number) for number in range(3)] == [["left"]] * 3
        clock_of(vhost).fire_due()
    swept(vhost)
    assert [reached(vhost, source, number) for number in range(3)] == [["left"]] * 3
    assert list(source.bindings.values()) == list(left.incoming)
    assert (len(source.bindings), source.lingering, len(gone.incoming)) == (3, 0, 0)


@pytest.mark.parametrize("inner", ["direct", "x-random"])
def test_deleted_queue_behind_a_delayed_exchange_gets_no_messages(vhost, inner):
    source = exchange(vhost, kind="x-delayed-message", arguments={"x-delayed-type": longstr(inner)})
    gone, left = declare(vhost, "gone"), declare(vhost, "left")
    bound(vhost, source, gone)
    bound(vhost, source, left, 1)
    vhost.delete_queue(gone)
    assert {*reached(vhost, source) * 20} == {"left"}
    swept(vhost)
    assert {*reached(vhost, source) * 20} == {"left"}


def test_alternate_exchange_is_used_as_soon_as_the_only_queue_is_deleted(vhost):
    other, last = exchange(vhost, "other", "fanout"), declare(vhost, "last")
    vhost.bind(other, last, b"", {})
    source = exchange(vhost, arguments={"alternate-exchange": longstr("other")})
    gone = declare(vhost, "gone")
    bound(vhost, source, gone)
    assert reached(vhost, source) == ["gone"]
    vhost.delete_queue(gone)
    assert reached(vhost, source) == ["last"]
    swept(vhost)
    assert reached(vhost, source) == ["last"]


def test_bindings_of_a_deleted_queue_are_invisible_at_once(vhost):
    source, gone, left = exchange(vhost), declare(vhost, "gone"), declare(vhost, "left")
    bound(vhost, source, gone)
    bound(vhost, source, left, 2)
    vhost.delete_queue(gone)
    assert source.binding_count == 2
    assert [binding.destination for binding in source.live_bindings()] == [left, left]
    assert not vhost.is_bound(source, gone, key(0), {})
    vhost.unbind(source, gone, key(0), {})
    swept(vhost)
    assert source.binding_count == len(source.bindings) == 2


def test_exchange_without_bindings_is_unused_at_once(vhost):
    source, gone = exchange(vhost), declare(vhost, "gone")
    bound(vhost, source, gone)
    with pytest.raises(errors.AmqpError):
        vhost.delete_exchange("x", if_unused=True)
    vhost.delete_queue(gone)
    vhost.delete_exchange("x", if_unused=True)
    assert "x" not in vhost.exchanges
    swept(vhost)
    assert not gone.incoming


def test_auto_delete_exchanges_are_deleted_at_once(vhost):
    first, second = exchange(vhost, "first", auto_delete=True), exchange(vhost, "second", auto_delete=True)
    stays, gone = exchange(vhost, "stays", auto_delete=True), declare(vhost, "gone")
    bound(vhost, second, gone)
    bound(vhost, stays, gone)
    vhost.bind(first, second, b"", {})
    vhost.bind(stays, declare(vhost, "left"), b"", {})
    vhost.delete_queue(gone)
    assert {"first", "second"} & set(vhost.exchanges) == set()
    assert stays.binding_count == 1
    swept(vhost)
    assert len(stays.bindings) == 1
    assert not any([first.bindings, second.bindings, second.incoming, gone.incoming])
    vhost.delete_queue(vhost.queues["left"])
    assert "stays" not in vhost.exchanges


def test_exchange_with_many_bindings_is_deleted_at_once(vhost):
    source, queue, before = exchange(vhost), declare(vhost), exchange(vhost, "before")
    bound(vhost, source, queue)
    bound(vhost, before, source)
    vhost.bind(before, queue, key(0), {})
    assert reached(vhost, before) == ["q"]
    vhost.delete_exchange("x")
    assert "x" not in vhost.exchanges
    assert reached(vhost, before) == ["q"]
    assert reached(vhost, before, 1) == []
    assert [binding.source for binding in queue.incoming if binding.lives] == [before]
    swept(vhost)
    assert [binding.source for binding in queue.incoming] == [before]
    assert reached(vhost, before, 1) == []


def test_source_and_destination_may_both_be_deleted(vhost):
    source, queue = exchange(vhost), declare(vhost)
    bound(vhost, source, queue)
    vhost.delete_queue(queue)
    vhost.delete_exchange("x")
    again = declare(vhost)
    swept(vhost)
    assert not any([source.bindings, queue.incoming, again.incoming])
    assert clock_of(vhost).next_due_ms() is None


def test_few_bindings_of_a_deleted_queue_are_removed_at_once(vhost):
    source, queue = exchange(vhost), declare(vhost)
    bound(vhost, source, queue, BOUNDS.many_bindings)
    vhost.delete_queue(queue)
    assert not source.bindings
    assert swept(vhost) == 0


def test_many_bindings_of_a_deleted_queue_are_removed_in_slices(vhost):
    source, queue = exchange(vhost), declare(vhost)
    bound(vhost, source, queue)
    vhost.delete_queue(queue)
    left = [len(source.bindings)]
    while source.bindings:
        clock_of(vhost).fire_due()
        left.append(len(source.bindings))
    assert {before - after for before, after in itertools.pairwise(left[:-1])} == {BOUNDS.binding_removals}


# --- changes during a sweep -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slices", [0, 1, 10])
def test_redeclared_queue_does_not_inherit_bindings_of_the_deleted_one(vhost, slices):
    source, gone = exchange(vhost), declare(vhost, "q")
    bound(vhost, source, gone)
    vhost.delete_queue(gone)
    for _ in range(slices):
        clock_of(vhost).fire_due()
    queue = declare(vhost, "q")
    assert reached(vhost, source) == []
    for number in (0, COUNT - 1, COUNT):
        vhost.bind(source, queue, key(number), {})
        assert reached(vhost, source, number) == ["q"]
    swept(vhost)
    assert [binding.routing_key for binding in source.bindings.values()] == [key(0), key(COUNT - 1), key(COUNT)]
    assert [reached(vhost, source, number) for number in (0, 1, COUNT - 1)] == [["q"], [], ["q"]]
    assert source.lingering == 0


def test_an_exchange_of_the_same_name_has_its_own_bindings(vhost):
    queue = declare(vhost)
    bound(vhost, exchange(vhost), queue)
    vhost.delete_exchange("x")
    source = exchange(vhost)
    vhost.bind(source, queue, key(5), {})
    swept(vhost)
    assert list(queue.incoming) == list(source.bindings.values())
    assert reached(vhost, source, 5) == ["q"]


def test_bindings_of_several_deleted_queues_are_removed_at_the_same_time(vhost):
    source, queues = exchange(vhost), [declare(vhost, name) for name in "abc"]
    for queue in queues:
        bound(vhost, source, queue)
    for queue in queues:
        vhost.delete_queue(queue)
    assert source.binding_count == 0
    swept(vhost)
    assert (len(source.bindings), source.lingering) == (0, 0)


def test_deleting_a_vhost_ends_the_removal_of_bindings_in_it():
    broker = Broker(Config(), ManualClock(), MemoryStore())
    vhost = broker.add_vhost("v")
    queue = declare(vhost)
    bound(vhost, exchange(vhost), queue)
    vhost.delete_queue(queue)
    broker.delete_vhost("v")
    before = broker.clock.next_due_ms()
    assert before is None or before > broker.clock.now_ms()


# --- stored bindings --------------------------------------------------------------------------------------------------


class Node:
    """A broker with definitions in a file, which can be killed and restarted."""

    def __init__(self, path):
        self.path = path
        self.start()

    def start(self):
        self.definitions = SqliteDefinitions(self.path, Files())
        self.vhost = Broker(Config(), ManualClock(), MemoryStore(), self.definitions).vhosts["/"]

    def restart(self):
        self.definitions.close()
        self.start()
        return self.vhost

    def stored(self):
        return [each.routing_key for each in self.definitions.all(BindingDefinition)]


@pytest.fixture
def node(tmp_path):
    made = Node(tmp_path / "definitions.sqlite")
    yield made
    made.definitions.close()


def durable(vhost, name="q"):
    return vhost.declare_queue(name, True, False, False, {})


@pytest.mark.parametrize("slices", [0, 1, None])
@pytest.mark.parametrize("what", ["queue", "exchange"])
def test_bindings_of_deleted_objects_are_not_restored_after_a_crash(node, slices, what):
    vhost = node.vhost
    with node.definitions.transaction():
        bound(vhost, exchange(vhost, durable=True), durable(vhost))
        vhost.bind(vhost.exchange("amq.direct"), vhost.queues["q"], b"other", {})
    if what == "queue":
        vhost.delete_queue(vhost.queues["q"])
    else:
        vhost.delete_exchange("x")
    for _ in range(slices or 0):
        clock_of(vhost).fire_due()
    if slices is None:
        swept(vhost)
    else:
        assert len(node.stored()) > BOUNDS.many_bindings
    vhost = node.restart()
    assert ("q" in vhost.queues, "x" in vhost.exchanges) == (what != "queue", what == "queue")
    assert node.stored() == ([] if what == "queue" else [b"other"])


@pytest.mark.parametrize("slices", [0, 1, 5])
@pytest.mark.parametrize("what", ["queue", "exchange"])
def test_object_redeclared_during_a_sweep_is_restored_with_its_own_bindings_only(node, slices, what):
    vhost = node.vhost
    with node.definitions.transaction():
        bound(vhost, exchange(vhost, durable=True), durable(vhost))
    if what == "queue":
        vhost.delete_queue(vhost.queues["q"])
    else:
        vhost.delete_exchange("x")
    for _ in range(slices):
        clock_of(vhost).fire_due()
    exchange(vhost, durable=True)
    durable(vhost)
    vhost.bind(vhost.exchanges["x"], vhost.queues["q"], key(COUNT - 1), {})
    clock_of(vhost).fire_due()
    assert node.stored() == [key(COUNT - 1)]
    vhost = node.restart()
    assert [each.routing_key for each in vhost.queues["q"].incoming] == [key(COUNT - 1)]
    swept(vhost)
    assert reached(vhost, vhost.exchanges["x"], COUNT - 1) == ["q"]


def test_binding_recreated_during_removal_of_old_ones_stays_stored(node):
    """Test a new queue with the name of the deleted one, bound to the same exchange."""
    vhost = node.vhost
    with node.definitions.transaction():
        bound(vhost, exchange(vhost, durable=True), durable(vhost))
    vhost.delete_queue(vhost.queues["q"])
    durable(vhost)
    for number in (0, 5, COUNT - 1):
        vhost.bind(vhost.exchanges["x"], vhost.queues["q"], key(number), {})
    swept(vhost)
    assert sorted(node.stored()) == sorted([key(0), key(5), key(COUNT - 1)])


class Full(MemoryDefinitions):
    """Definitions whose bindings cannot be removed while `full` is set."""

    full = False

    def remove(self, *definitions):
        if self.full and any(type(each) is not QueueDefinition for each in definitions):
            raise errors.not_stored("disk full")


def test_failed_removal_of_stored_bindings_is_retried(caplog):
    definitions = Full()
    vhost = Broker(Config(), ManualClock(), MemoryStore(), definitions).vhosts["/"]
    source = exchange(vhost, durable=True)
    bound(vhost, source, durable(vhost))
    definitions.full = True
    vhost.delete_queue(vhost.queues["q"])
    swept(vhost)
    assert len(source.bindings) == COUNT
    assert "cannot remove stored bindings" in caplog.text
    assert reached(vhost, source) == []
    clock_of(vhost).advance(3 * RETRY_MS)
    assert len(source.bindings) == COUNT
    definitions.full = False
    clock_of(vhost).advance(RETRY_MS)
    assert not source.bindings


def test_event_is_emitted_for_each_binding_of_a_deleted_queue():
    told = collections.Counter()
    broker = Broker(Config(), ManualClock(), MemoryStore())
    vhost = broker.vhosts["/"]
    source, queue = exchange(vhost, auto_delete=True), declare(vhost)
    bound(vhost, source, queue)
    vhost.bind(vhost.exchange("amq.rabbitmq.event"), declare(vhost, "events"), b"#", {})
    vhost.delete_queue(queue)
    clock_of(vhost).advance(10)
    events = vhost.queues["events"]
    told.update(entry.message.routing_key for entry in events.ready)
    assert told[b"binding.deleted"] == COUNT
    assert told[b"exchange.deleted"] == told[b"queue.deleted"] == 1
