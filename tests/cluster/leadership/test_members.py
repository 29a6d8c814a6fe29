"""The table of the brokers that use a database."""

import pytest

from amqpbroker.cluster.leadership import members as module
from amqpbroker.cluster.leadership.leadership import Target, session_name
from amqpbroker.cluster.leadership.members import Facts, Members
from amqpbroker.store.database import schema
from amqpbroker.store.database.session import Session
from amqpbroker.store.log import UnwrittenError
from tests.postgresql import own_server


class Table:
    """The table, with a session for each broker and one for the test. A broker runs if it has its session."""

    def __init__(self, url):
        self._url = url
        self._sessions = []
        self.any = self.session("any")
        schema.make_tables(self.any)

    def session(self, name):
        self._sessions.append(Session(self._url, name, 10))
        return self._sessions[-1]

    def execute(self, statement, *values):
        return self.any.run(lambda connection: connection.execute(statement, values))

    def members(self, process, node="node", address="", lease_s=60.0):
        target = Target("127.0.0.1", 25672, f"secret of {process}")
        facts = Facts(process, node, address or f"{process}:5672", "1.0", target=target)
        return Members(self.session(session_name(process, "brokers")), facts, lease_s)

    def running(self, process):
        """Open the session of a broker that runs, and return it."""
        session = self.session(session_name(process, "lease"))
        session.run(lambda connection: connection.execute("SELECT 1"))
        return session

    def close(self):
        for session in self._sessions:
            session.close()


@pytest.fixture
def table(database):
    made = Table(database)
    yield made
    made.close()


def shown(members):
    return {row.facts.process: row for row in members.rows()}


def test_brokers_know_one_another(table):
    a, b = table.members("a", "first"), table.members("b", "second")
    table.running("a")
    a.report(None)
    b.report(0.5)
    rows = b.rows()
    assert [row.facts for row in rows] == [a.facts, b.facts] == [row.facts for row in a.rows()]
    assert [(row.running, row.drained, row.lag_s) for row in rows] == [(True, False, None), (False, False, 0.5)]
    assert all(row.started_ms <= row.seen_ms for row in rows)


def test_a_broker_shows_its_port_while_that_is_open(table):
    a, b = table.members("a"), table.members("b")
    opened = a.facts.target
    for target in (Target(), opened, Target()):
        a.set_target(target)
        a.report(None)
        assert shown(b)["a"].facts.target == target


def test_a_broker_runs_while_it_reports_and_has_its_session(table):
    a = table.members("a")
    session = table.running("a")
    a.report(None)
    assert shown(a)["a"].running
    table.execute("UPDATE brokers SET seen = seen - interval '61 seconds'")
    assert not shown(a)["a"].running
    a.report(None)
    assert shown(a)["a"].running
    session.close()
    while shown(a)["a"].running:
        pass


def test_a_later_report_changes_what_changes(table):
    a = table.members("a")
    a.report(None)
    started_ms = shown(a)["a"].started_ms
    table.execute("UPDATE brokers SET started = started - interval '1 hour'")
    a.report(2.0)
    row = shown(a)["a"]
    assert (row.lag_s, row.started_ms) == (2.0, started_ms - 3_600_000)


def test_rows_that_are_old_are_removed(table):
    a, b = table.members("a"), table.members("b")
    a.report(None)
    b.report(None)
    table.execute("UPDATE brokers SET seen = seen - %s * interval '1 second'", module.REMOVED_S + 1)
    b.report(None)
    assert list(shown(b)) == ["b"]


def test_a_process_replaces_the_earlier_one_of_its_node_and_address(table):
    a, b, other = (
        table.members("a", "same", "h:1"),
        table.members("b", "same", "h:1"),
        table.members("c", "same", "h:2"),
    )
    for members in (a, other, b):
        members.report(None)
    assert list(shown(b)) == ["c", "b"]
    # Another broker with the same name and address that runs is there again.
    a.report(None)
    assert set(shown(b)) == {"a", "b", "c"}


def test_a_broker_is_drained_until_it_is_revived(table):
    a, b = table.members("a"), table.members("b")
    b.report(None)
    a.set_drained("b", True)
    assert shown(a)["b"].drained
    b.report(None)
    assert shown(a)["b"].drained
    a.set_drained("b", False)
    assert not shown(a)["b"].drained


def test_a_database_that_has_lost_the_row_gets_it_again(table):
    a, b = table.members("a"), table.members("b")
    b.report(None)
    a.set_drained("b", True)
    b.report(None)
    table.execute("DELETE FROM brokers")
    b.report(None)
    assert shown(b)["b"].drained


def test_a_broker_that_ends_removes_its_row(table):
    a, b = table.members("a"), table.members("b")
    a.report(None)
    b.report(None)
    a.remove()
    a.close()
    assert list(shown(b)) == ["b"]


def test_a_table_that_is_away_is_an_error_that_ends(database):
    members = Members(Session("postgresql://127.0.0.1:1/x", "x", 10), Facts("a", "n", "h:1", "1"), 1.0)
    with pytest.raises(UnwrittenError):
        members.report(None)


def test_no_row_waits_for_a_standby():
    with own_server("synchronous_standby_names=missing") as server:
        making = Session(f"{server.url}?options=-csynchronous_commit%3Dlocal", "making", 10)
        schema.make_tables(making)
        making.close()
        a = Members(Session(server.url, "brokers", 5), Facts("a", "n", "h:1", "1"), 60.0)
        a.report(None)
        a.set_drained("a", True)
        assert [row.drained for row in a.rows()] == [True]
        a.remove()
        assert a.rows() == []
        a.close()


def test_a_broker_is_drained_unless_no_other_one_could_lead(table):
    a, b = table.members("a"), table.members("b")
    a.report(None)
    b.report(None)
    table.running("a")
    assert not a.drain("a")
    table.running("b")
    assert b.drain("a")
    assert (shown(a)["a"].drained, shown(a)["b"].drained) == (True, False)
    assert not a.drain("b")
    assert a.drain("a")


def test_brokers_know_which_vhosts_others_prefer(table):
    a = table.members("a")
    b = Members(table.session(session_name("b", "brokers")), Facts("b", "node", "b:5672", "1.0", "^orders"), 60.0)
    a.report(None)
    b.report(None)
    assert {process: row.facts.pattern for process, row in shown(a).items()} == {"a": "", "b": "^orders"}
    assert a.run(lambda connection: connection.execute("SELECT 1").fetchone()) == (1,)
