import pytest

from amqpbroker.errors import AmqpError
from amqpbroker.store.database.database_definitions import DatabaseDefinitions
from amqpbroker.store.definitions.definitions import (
    BindingDefinition,
    ExchangeDefinition,
    ParameterDefinition,
    QueueDefinition,
    VhostDefinition,
)
from amqpbroker.store.log import FencedError, UnwrittenError
from amqpbroker.store.record import MAX_ID
from tests.store.database.opening import Opened
from tests.store.database.test_database_files import LOST
from tests.store.definitions.test_definitions import KINDS, SAMPLES


@pytest.fixture
def opened(database):
    made = Opened(database)
    yield made
    made.close()


@pytest.fixture
def definitions(opened):
    return opened.definitions


def found(database):
    """Return all definitions that another broker finds."""
    later = Opened(database)
    try:
        return [definition for kind in KINDS for definition in later.definitions.all(kind)]
    finally:
        later.close()


def test_all_definitions_are_read_back_unchanged(definitions, database):
    definitions.put(*SAMPLES)
    definitions.sync()
    assert found(database) == SAMPLES
    queue, exchange = definitions.all(QueueDefinition)[0], definitions.all(ExchangeDefinition)[0]
    assert (queue.auto_delete, exchange.auto_delete, exchange.internal) == (True, True, False)
    assert type(queue.auto_delete) is bool


def test_a_change_is_stored_with_the_next_sync(definitions, database):
    definitions.put(VhostDefinition("v"))
    assert definitions.all(VhostDefinition) == []
    definitions.sync()
    assert definitions.all(VhostDefinition) == [VhostDefinition("v")] == found(database)


@pytest.mark.parametrize("sample", SAMPLES[::2], ids=lambda sample: type(sample).__name__)
def test_removed_definitions_stay_removed(definitions, database, sample):
    definitions.put(*SAMPLES)
    definitions.remove(sample)
    definitions.remove(sample)
    definitions.sync()
    assert found(database) == [other for other in SAMPLES if other != sample]


def test_removing_a_vhost_removes_all_its_definitions(definitions, database):
    definitions.put(*SAMPLES)
    definitions.remove_vhost("tä'st")
    definitions.sync()
    assert found(database) == [
        sample
        for sample in SAMPLES
        if getattr(sample, "vhost", None) != "tä'st" and sample != VhostDefinition(*SAMPLES[1])
    ]


def test_bindings_from_and_to_an_exchange_are_removed_together(definitions, database):
    bindings = [
        BindingDefinition("/", source, to_exchange, destination, b"k", b"")
        for source, to_exchange, destination in (
            ("a", True, "b"),
            ("b", False, "q"),
            ("a", False, "b"),
            ("c", True, "d"),
        )
    ]
    definitions.put(*bindings)
    definitions.remove_bindings("/", is_exchange=True, name="b")
    definitions.sync()
    assert found(database) == bindings[2:]


def test_a_binding_may_be_larger_than_an_index_entry(definitions, database):
    binding = BindingDefinition("/", "\0" * 255, False, "\ud800" * 80, bytes(range(256)), bytes(100_000))
    definitions.put(binding)
    definitions.sync()
    definitions.put(binding)
    definitions.sync()
    assert found(database) == [binding]


def test_a_definition_replaces_the_one_with_its_key(definitions, database):
    first, second = (ParameterDefinition("policy", "/", "p", {"priority": number}) for number in (1, 2))
    definitions.put(first, ParameterDefinition("policy", "/", "q", 0))
    definitions.put(second)
    definitions.sync()
    assert found(database) == [ParameterDefinition("policy", "/", "q", 0), second]


def test_an_error_undoes_a_transaction_with_the_transactions_in_it(definitions, database):
    changes = []
    definitions.watch(lambda: changes.append(1))

    def fail():
        with definitions.transaction():
            definitions.put(VhostDefinition("v"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    definitions.sync()
    assert (found(database), changes) == ([], [])


def test_ids_are_never_reused(definitions, database):
    queue = QueueDefinition("/", "q", definitions.new_id(), False, b"")
    definitions.put(queue)
    definitions.remove(queue)
    definitions.sync()
    later = Opened(database)
    assert later.definitions.new_id() == queue.id + 1
    later.close()


def test_no_id_is_left(definitions):
    definitions.last_id = MAX_ID
    with pytest.raises(AmqpError, match="all 4294967293 queue ids are used; start with a new database"):
        definitions.new_id()


def test_a_sync_that_failed_is_repeated(definitions, opened, database):
    definitions.put(*SAMPLES)
    opened.fence.loses = LOST
    with pytest.raises(UnwrittenError):
        definitions.sync()
    opened.fence.refuses = LOST
    with pytest.raises(UnwrittenError):
        definitions.sync()
    definitions.sync()
    assert found(database) == SAMPLES


def test_a_broker_that_was_replaced_cannot_change_definitions(definitions, database):
    definitions.put(VhostDefinition("late"))
    assert found(database) == []
    with pytest.raises(FencedError):
        definitions.sync()
    assert found(database) == []


def test_objects_of_one_log_are_apart_from_those_of_others(opened, database):
    old, new = [DatabaseDefinitions(log, opened.reading, opened.fence) for log in ("v1", "v2")]
    binding = BindingDefinition("v", "x", False, "q", b"k", b"")
    for number, definitions in enumerate((old, new), 1):
        definitions.put(QueueDefinition("v", "q", number, False, b""), binding)
        definitions.sync()
    new.remove_bindings("v", False, "q")
    new.sync()
    assert (old.all(QueueDefinition), old.all(BindingDefinition)) == (
        [QueueDefinition("v", "q", 1, False, b"")],
        [binding],
    )
    assert (new.all(QueueDefinition), new.all(BindingDefinition)) == ([QueueDefinition("v", "q", 2, False, b"")], [])
    opened.definitions.remove_vhost("v")
    old.remove(QueueDefinition("v", "q", 1, False, b""))
    for definitions in (opened.definitions, old):
        definitions.sync()
    assert (old.all(QueueDefinition), new.all(QueueDefinition)) == ([], [QueueDefinition("v", "q", 2, False, b"")])
    assert found(database) == []
