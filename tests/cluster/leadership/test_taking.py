"""A tool that keeps all brokers out of a database."""

from contextlib import closing
from functools import partial
from itertools import count

import pytest

from amqpbroker.cluster.leadership import taking
from amqpbroker.cluster.leadership.leadership import Leader, session_name
from amqpbroker.cluster.leadership.leaderships import Leaderships
from amqpbroker.cluster.leadership.taking import TakenDatabase, taken
from amqpbroker.store.database import schema
from amqpbroker.store.database.session import Session
from amqpbroker.store.log import StoreError


@pytest.fixture
def session(database):
    with closing(Session(database, "test", 10)) as made:
        schema.make_tables(made)
        for vhost in ("v", "w", "x"):
            made.run(
                lambda connection, vhost=vhost: connection.execute("INSERT INTO vhost_log (vhost) VALUES (%s)", [vhost])
            )
        made.run(lambda connection: connection.execute("UPDATE vhost_log SET removed = true WHERE vhost = 'x'"))
        yield made


@pytest.fixture
def broker(database):
    """The leaderships of a broker, which takes over without the grace."""
    session = Session(database, session_name("process", "lease"), 10)
    made = Leaderships(session, Leader("b", "127.0.0.1:5672", "process"), 60.0, partial(next, count()))
    yield made
    made.close()


def take(broker, log):
    return any(broker.try_take(log) for _ in range(5))


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(taking, "_WAIT_S", 0.2)


def test_no_broker_takes_a_log_meanwhile_and_any_takes_it_afterwards(database, session, broker):
    with taken(database) as tool:
        assert [log.vhost for log in tool.logs] == ["v", "w"]
        assert tool.epochs.keys() == {"0", "v1", "v2"}
        for log in tool.epochs:
            assert not take(broker, log)
        tool.check()
    for log in ("0", "v1", "v2"):
        assert broker.try_take(log)


@pytest.mark.parametrize("log", ["0", "v2"])
def test_a_database_of_a_running_broker_is_refused(database, session, broker, impatient, log):
    assert take(broker, log)
    expected = r"a running broker \(b at 127.0.0.1:5672\) uses the database; stop all brokers that use it first"
    with pytest.raises(StoreError, match=expected), taken(database):
        pass
    # It has given up again what it had taken.
    for other in {"0", "v1", "v2"} - {log}:
        assert take(broker, other)


def test_the_tool_waits_for_brokers_that_have_just_ended(database, session, broker):
    assert take(broker, "v1")
    broker.close()
    with taken(database) as tool:
        assert "v1" in tool.epochs


def test_a_database_that_a_broker_has_taken_over_is_noticed(database, session):
    with taken(database) as tool:
        session.run(lambda connection: connection.execute("UPDATE leadership SET epoch = epoch + 1 WHERE log = 'v1'"))
        with pytest.raises(StoreError, match="a broker has taken the database over meanwhile"):
            tool.check()
        with pytest.raises(StoreError, match="a broker has taken the database over meanwhile"):
            tool.check()


def test_leases_are_renewed(database, session, monkeypatch):
    monkeypatch.setattr(taking, "_RENEWED_S", 0.01)
    with taken(database):
        until = "SELECT until FROM leadership WHERE log = 'v2'"
        first = session.run(lambda connection: connection.execute(until).fetchone())
        while session.run(lambda connection: connection.execute(until).fetchone()) == first:
            pass


def test_a_tool_that_takes_nothing_can_be_closed(postgresql):
    closing_only = TakenDatabase(postgresql.url_of("missing"))
    with pytest.raises(OSError, match="does not exist"):
        closing_only.open()
    closing_only.close()
