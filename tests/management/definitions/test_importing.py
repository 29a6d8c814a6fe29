import json

import pytest

from amqpbroker import errors
from amqpbroker.broker.broker import Broker
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config, DefaultUser, Definitions
from amqpbroker.management.definitions.failure import DefinitionsError
from amqpbroker.management.definitions.importing import import_at_start
from amqpbroker.store.definitions.sqlite_definitions import SqliteDefinitions
from amqpbroker.store.files import Files
from amqpbroker.store.store import MemoryStore
from tests.management.definitions.test_plan import WHOLE

ANN = {"name": "ann", "password": "pw", "tags": "administrator"}


class Start:
    """A directory of definitions, and a broker that starts with them, again and again."""

    def __init__(self, directory):
        self.directory = directory
        self.definitions = None

    def write(self, name, document):
        path = self.directory / name
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    def __call__(self, *paths, skip=False, **settings):
        if self.definitions is not None:
            self.definitions.close()
        self.definitions = SqliteDefinitions(self.directory / "definitions.sqlite", Files())
        config = Config(definitions=Definitions(tuple(map(str, paths)), skip), **settings)
        broker = Broker(config, ManualClock(1_000_000), MemoryStore(), self.definitions)
        import_at_start(broker, config.definitions.paths, skip)
        return broker


@pytest.fixture
def start(tmp_path):
    start = Start(tmp_path)
    yield start
    if start.definitions is not None:
        start.definitions.close()


def names(broker):
    return [user.name for user in broker.users.list_users()]


def test_objects_of_a_definitions_file_exist_and_stay_once_it_is_empty(start):
    path = start.write("d.json", WHOLE)
    assert "in.quorum" in start(path).vhosts["orders"].queues
    path = start.write("d.json", {})
    assert "in.quorum" in start(path).vhosts["orders"].queues


def test_json_files_of_a_definitions_directory_are_imported_by_name(start):
    folder = start.directory / "several"
    folder.mkdir()
    start.write("several/2.json", {"queues": [{"vhost": "new", "name": "q"}]})
    start.write("several/1.json", {"vhosts": [{"name": "new"}]})
    start.write("several/note.txt", "not JSON")
    assert list(start(folder).vhosts["new"].queues) == ["q"]


# --- beside the configuration's own -----------------------------------------------------------------------------------


def test_definitions_file_replaces_the_default_user_and_vhost(start):
    path = start.write("d.json", {"users": [ANN], "vhosts": [{"name": "new"}]})
    broker = start(path)
    assert (names(broker), list(broker.vhosts)) == (["ann"], ["new"])


def test_configured_default_users_exist_besides_the_definitions_file(start):
    path = start.write("d.json", {"users": [ANN], "vhosts": [{"name": "new"}]})
    broker = start(path, default_users=(DefaultUser("eve", "pw"),), defaults_given=True)
    assert (names(broker), list(broker.vhosts)) == (["eve", "ann"], ["/", "new"])
    assert broker.users.authenticate("eve", b"pw") is not None
    assert [listed[:2] for listed in broker.users.list_permissions()] == [("eve", "/")]


def test_default_user_exists_if_the_definitions_file_has_no_users(start):
    path = start.write(
        "d.json", {"vhosts": [{"name": "/"}, {"name": "new"}], "queues": [{"vhost": "new", "name": "q"}]}
    )
    broker = start(path)
    assert names(broker) == ["guest"]
    assert [listed[:2] for listed in broker.users.list_permissions()] == [("guest", "/")]


def test_default_vhost_exists_if_the_definitions_file_has_no_vhosts(start):
    broker = start(start.write("d.json", {"queues": [{"vhost": "/", "name": "q"}]}))
    assert list(broker.vhosts["/"].queues) == ["q"]


def test_deleted_default_user_is_not_created_again_at_the_next_start(start):
    path = start.write("d.json", {"queues": [{"vhost": "/", "name": "q"}]})
    broker = start(path)
    broker.users.add_user("ann")
    broker.users.delete_user("guest")
    assert names(start(path)) == ["ann"]


# --- unchanged ones ---------------------------------------------------------------------------------------------------


def test_import_of_unchanged_definitions_can_be_skipped(start):
    path = start.write("d.json", {"users": [ANN], "vhosts": [{"name": "new"}, {"name": "other"}]})
    start(path, skip=True).delete_vhost("other")
    assert list(start(path, skip=True).vhosts) == ["new"]
    start.write("d.json", {"users": [ANN], "vhosts": [{"name": "other"}]})
    assert list(start(path, skip=True).vhosts) == ["new", "other"]


def test_unchanged_definitions_are_imported_at_every_start_by_default(start):
    path = start.write("d.json", {"users": [ANN], "vhosts": [{"name": "new"}, {"name": "other"}]})
    start(path).delete_vhost("other")
    assert list(start(path).vhosts) == ["new", "other"]


# --- errors -----------------------------------------------------------------------------------------------------------


def test_error_of_a_missing_definitions_file_names_it(start):
    missing = start.directory / "missing.json"
    with pytest.raises(DefinitionsError, match=f"definitions {missing}: No such file or directory"):
        start(missing)


def test_error_of_a_definitions_file_that_is_no_json_names_it(start):
    path = start.write("d.json", "{")
    with pytest.raises(DefinitionsError, match=f"definitions {path}: failed_to_parse_json"):
        start(path)


def test_failed_import_at_the_start_stores_nothing(start):
    good = start.write("good.json", WHOLE)
    bad = start.write("bad.json", {"queues": [{"vhost": "nope", "name": "q"}]})
    with pytest.raises(DefinitionsError, match=rf'definitions {bad}: queues\[0\]: Please create virtual host "nope"'):
        start(good, bad)
    assert start.write("bad.json", {"users": [ANN], "vhosts": [{"name": "new"}]})
    broker = start(bad)
    assert (names(broker), list(broker.vhosts)) == (["ann"], ["new"])


def test_import_of_existing_definitions_writes_nothing_to_disk(start):
    document = {**WHOLE, "users": [*WHOLE["users"], {**ANN, "name": "carol"}]}
    path = start.write("d.json", document)
    start(path)
    log = start.directory / "definitions.sqlite-wal"
    start()
    assert log.stat().st_size == 0
    start(path)
    assert log.stat().st_size == 0


def test_changed_password_in_a_definitions_file_is_imported(start):
    path = start.write("d.json", {"users": [ANN]})
    start(path)
    path = start.write("d.json", {"users": [{**ANN, "password": "other"}]})
    assert start(path).users.authenticate("ann", b"other") is not None


def test_import_that_the_database_refuses_fails_with_one_line(start):
    path = start.write("d.json", WHOLE)
    start()
    connection = start.definitions._connection
    connection.execute("CREATE TRIGGER full BEFORE INSERT ON queue BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    with pytest.raises(DefinitionsError, match=f"definitions {path}: .*the change cannot be stored: disk is full"):
        start(path)


def test_import_that_fails_at_its_commit_fails_with_one_line(start, monkeypatch):
    path = start.write("d.json", WHOLE)
    execute = SqliteDefinitions._execute

    def refuse(definitions, statement, values=()):
        if statement == "COMMIT" and "queue" in filled:
            raise errors.not_stored("disk is full")
        filled.update(word for word in ("queue",) if statement.startswith("INSERT OR REPLACE INTO queue"))
        execute(definitions, statement, values)

    filled = set()
    monkeypatch.setattr(SqliteDefinitions, "_execute", refuse)
    with pytest.raises(DefinitionsError, match=f"definitions {path}: .*the change cannot be stored: disk is full"):
        start(path)
