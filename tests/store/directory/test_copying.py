"""A data directory as the source and the target of a copy."""

from contextlib import closing

import pytest

from amqpbroker.store.copying.copying import copy
from amqpbroker.store.definitions.definitions import QueueDefinition
from amqpbroker.store.definitions.sqlite_definitions import SqliteDefinitions
from amqpbroker.store.directory.copying import directory_source, directory_target
from amqpbroker.store.directory.names import DATABASE
from amqpbroker.store.directory.ownership import Ownership
from amqpbroker.store.files import Files
from amqpbroker.store.log import StoreError
from tests.store.copying.stores import INTERRUPTIONS, SHARED, MemoryTarget, contents, interrupted, lived

VHOSTS = ("/", "second")


@pytest.fixture
def whole():
    return lived(*VHOSTS)


def copied_to(directory, source):
    with directory_target(directory) as target:
        return copy(source, target)


def test_a_directory_has_everything_that_a_recovery_finds_and_gives_it_back(whole, tmp_path):
    before = contents(whole.parts)
    divided = MemoryTarget(apart=True)
    copy(whole, divided)
    done = copied_to(tmp_path / "new", divided.source())
    again = MemoryTarget(apart=True)
    with directory_source(tmp_path / "new") as source:
        assert contents(source.parts) == before
        for kind in SHARED:
            assert source.definitions.all(kind) == whole.definitions.all(kind)
        assert copy(source, again) == done
    assert contents(again.parts) == before


def test_an_id_is_not_used_again(whole, tmp_path):
    copied_to(tmp_path / "new", whole)
    with closing(SqliteDefinitions(tmp_path / "new" / DATABASE, Files())) as definitions:
        assert definitions.new_id() > max(queue.id for queue in definitions.all(QueueDefinition))


@pytest.mark.parametrize("moment", INTERRUPTIONS)
def test_an_interrupted_copy_is_refused(whole, tmp_path, moment):
    directory = tmp_path / "new"
    with pytest.raises(InterruptedError):
        copied_to(directory, interrupted(whole, moment))
    refused = "if `amqpbroker store copy` was interrupted, remove the directory, and copy again"
    with pytest.raises(StoreError, match=refused):
        Ownership(directory, Files())
    with pytest.raises(StoreError, match=refused):
        copied_to(directory, whole)
    with pytest.raises(StoreError, match="is not a data directory of amqpbroker"), directory_source(directory):
        pass


def test_a_directory_with_data_is_refused_and_stays_as_it_is(whole, tmp_path):
    directory = tmp_path / "new"
    copied_to(directory, whole)
    with pytest.raises(StoreError, match="new is not empty: name an empty database, or a directory that does not"):
        copied_to(directory, whole)
    with directory_source(directory) as source:
        assert contents(source.parts) == contents(whole.parts)


def test_a_directory_of_a_broker_is_refused(whole, tmp_path):
    copied_to(tmp_path / "new", whole)
    with closing(Ownership(tmp_path / "new", Files())):
        with pytest.raises(StoreError, match="belongs to a running broker"), directory_source(tmp_path / "new"):
            pass
        with pytest.raises(StoreError, match="belongs to a running broker"), directory_target(tmp_path / "new"):
            pass


def test_a_source_that_does_not_exist_is_not_made(tmp_path):
    with pytest.raises(StoreError, match="missing is not a data directory"), directory_source(tmp_path / "missing"):
        pass
    assert not (tmp_path / "missing").exists()


def test_an_empty_store_can_be_copied(tmp_path):
    with directory_target(tmp_path / "empty"):
        pass
    with directory_source(tmp_path / "empty") as source, directory_target(tmp_path / "new") as target:
        done = copy(source, target)
    assert done == (0, 0, 0, 0)
    with closing(Ownership(tmp_path / "new", Files())):
        pass
