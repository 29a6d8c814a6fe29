"""The simulated engine: transactions, locks, standbys and sessions, as PostgreSQL has them."""

import psycopg
import pytest
from psycopg import sql

from amqpbroker.cluster.leadership.leadership import _END_HOLDER
from amqpbroker.cluster.leadership.members import _REPORT
from amqpbroker.store.database.fence import insertion
from amqpbroker.store.database.schema import _BROKERS
from amqpbroker.store.database.session import _END_EARLIER
from tests.simulation.chance import Chance
from tests.simulation.database.backend import UnknownStatementError
from tests.simulation.database.cluster import Cluster, Slow
from tests.simulation.database.connection import connect
from tests.simulation.database.path import Path
from tests.simulation.database.skipping import Skipping
from tests.simulation.database.statements import READERS, STATEMENTS
from tests.simulation.database.tasks import Process, current
from tests.simulation.scheduler import MS, SECOND

GUARD = "SELECT 1 / count(*) FROM (SELECT 1 FROM fence WHERE log = %s AND epoch = %s FOR SHARE) AS held"
RAISE = (
    "INSERT INTO fence (log, epoch) VALUES (%(log)s, %(seen)s + 1) ON CONFLICT (log)"
    " DO UPDATE SET epoch = greatest(fence.epoch, %(seen)s) + 1 RETURNING epoch"
)
FIRST = {"log": "0", "seen": 0}
CREATE_FENCE = "CREATE TABLE fence (log text PRIMARY KEY, epoch bigint NOT NULL)"
TABLE = sql.Identifier("file")
CREATE = sql.SQL("CREATE TABLE IF NOT EXISTS {} (start bigint PRIMARY KEY, data bytea NOT NULL)").format(TABLE)
INSERT = sql.SQL("INSERT INTO {} (start, data) VALUES (%s, %s)").format(TABLE)
FIND = sql.SQL("SELECT 1 FROM {} WHERE start = %s").format(TABLE)
LOCK = "SELECT pg_try_advisory_lock(%s)"
#: Ends the sessions of the process `held`.
END = (_END_HOLDER, {"lock": 1, "prefix": "amqpbroker ", "lease_s": 2.0})


class Engine:
    """An engine, and clients that run one after the other, or several at a time."""

    def __init__(self, synchronous=0, asynchronous=0):
        self.scheduler = Skipping()
        self.cluster = Cluster(self.scheduler, Chance(1), STATEMENTS, READERS, synchronous, asynchronous)
        self.path = Path(self.scheduler, Chance(2))
        self.process = Process(self.scheduler)
        #: Results and errors of the clients, in the order of their ends.
        self.ends = []

    def begin(self, body, name="client"):
        """Run a client in steps: it gets a connection."""

        def run():
            try:
                self.ends.append(body(connect(self.cluster, self.path, name)))
            except (psycopg.Error, TimeoutError) as error:
                self.ends.append(error)

        self.process.start(run)

    def run(self, seconds):
        """Run all clients for some time; return their ends so far."""
        self.scheduler.run(self.scheduler.now + int(seconds * SECOND))
        return self.ends

    def call(self, body):
        """Run a client to its end; return its result."""
        self.begin(body)
        return self.run(1)[-1]


@pytest.fixture
def engine():
    made = Engine()
    made.call(lambda connection: connection.execute(CREATE_FENCE))
    made.call(lambda connection: connection.execute(RAISE, FIRST))
    made.call(lambda connection: connection.execute(CREATE))
    made.ends.clear()
    return made


def has(engine, start):
    return engine.call(lambda connection: connection.execute(FIND, [start]).fetchone()) == (1,)


def held_for(engine, seconds, *statements):
    """Return a client that executes statements in a transaction, and commits later."""

    def run(connection):
        with connection.transaction():
            for statement, values in statements:
                connection.execute(statement, values)
            current().wait(int(seconds * SECOND))

    return run


def test_rows_are_seen_after_the_commit_and_by_their_transaction_before(engine):
    seen = []

    def write(connection):
        with connection.transaction():
            connection.execute(INSERT, [0, b"a"])
            seen.append(connection.execute(FIND, [0]).fetchone())
            seen.append(0 in engine.cluster.primary.tables["file"])

    engine.call(write)
    assert seen == [(1,), False]
    assert has(engine, 0)


def test_a_transaction_with_an_error_has_no_effect(engine):
    def write(connection):
        with connection.transaction():
            connection.execute(INSERT, [0, b"a"])
            connection.execute(INSERT, [0, b"b"])

    assert engine.call(write).sqlstate == "23505"
    assert not has(engine, 0)


def test_a_rollback_ends_a_transaction_with_an_error(engine):
    def write(connection):
        connection.execute("BEGIN")
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute(GUARD, ["0", 2])
        connection.rollback()
        connection.rollback()
        return connection.execute(INSERT, [0, b"a"]).rowcount

    assert engine.call(write) is not None
    assert has(engine, 0)


def test_earlier_sessions_of_a_name_are_ended_when_they_are_found_no_more(engine):
    engine.begin(held_for(engine, 1, (GUARD, ["0", 1])), "a")
    engine.run(0.5)

    def end(connection):
        rounds = 1
        while connection.execute(_END_EARLIER, ["a"]).fetchall():
            current().wait(MS)
            rounds += 1
        return rounds

    engine.begin(end, "a")
    assert engine.run(0.2)[-1] > 1
    assert engine.run(2)[-1].sqlstate == "57P01"


def test_another_epoch_is_a_division_by_zero(engine):
    assert engine.call(lambda connection: connection.execute(GUARD, ["0", 2])).sqlstate == "22012"


def test_a_higher_epoch_waits_for_those_that_share_the_row(engine):
    engine.begin(held_for(engine, 2, (GUARD, ["0", 1])))
    engine.run(0.5)
    engine.begin(lambda connection: connection.execute(GUARD, ["0", 1]).fetchone())
    assert engine.run(0.2) == [(1,)]
    engine.begin(lambda connection: connection.execute(RAISE, FIRST).fetchone())
    assert engine.run(0.5) == [(1,)]
    assert engine.run(2) == [(1,), None, (2,)]


def test_a_statement_that_waits_too_long_ends_the_connection(engine):
    engine.begin(held_for(engine, 30, (GUARD, ["0", 1])))
    engine.run(0.5)
    engine.begin(lambda connection: connection.execute(RAISE, FIRST))
    engine.run(11)
    assert [type(end) for end in engine.ends] == [TimeoutError]


def test_an_advisory_lock_ends_with_its_session(engine):
    engine.call(lambda connection: connection.execute(_BROKERS))
    engine.begin(lambda connection: connection.execute(LOCK, [1]).fetchone(), "amqpbroker held lease")
    assert engine.run(1)[-1] == (True,)
    assert engine.call(lambda connection: connection.execute(LOCK, [1]).fetchone()) == (False,)
    engine.call(lambda connection: connection.execute(*END))
    engine.run(1)
    assert engine.call(lambda connection: connection.execute(LOCK, [1]).fetchone()) == (True,)


def test_an_advisory_lock_of_a_process_that_runs_stays(engine):
    engine.call(lambda connection: connection.execute(_BROKERS))
    row = dict.fromkeys(("node", "address", "version", "pattern", "host", "port", "secret", "lag"), "")
    engine.call(
        lambda connection: connection.execute(
            _REPORT, {"process": "held", "drained": False, "removed_s": 600.0, **row}
        ).fetchone()
    )
    engine.begin(lambda connection: connection.execute(LOCK, [1]).fetchone(), "amqpbroker held lease")
    engine.call(lambda connection: connection.execute(*END))
    assert engine.call(lambda connection: connection.execute(LOCK, [1]).fetchone()) == (False,)
    engine.run(2)
    engine.call(lambda connection: connection.execute(*END))
    engine.run(1)
    assert engine.call(lambda connection: connection.execute(LOCK, [1]).fetchone()) == (True,)


def test_a_session_that_was_ended_says_so_at_its_next_call(engine):
    def call_twice(connection):
        connection.execute(LOCK, [1])
        current().wait(SECOND)
        connection.execute(LOCK, [1])

    engine.call(lambda connection: connection.execute(_BROKERS))
    engine.begin(call_twice, "amqpbroker held lease")
    engine.run(0.5)
    engine.begin(lambda connection: connection.execute(*END), "other")
    assert engine.run(2)[-1].sqlstate == "57P01"


@pytest.mark.parametrize(("fault", "written"), [("refused", False), ("lost", True), ("full", False)])
def test_a_commit_without_an_answer_may_be_written(engine, fault, written):
    engine.cluster.commit_faults["client", ""] = fault
    assert isinstance(engine.call(lambda connection: connection.execute(INSERT, [0, b"a"])), psycopg.Error)
    assert has(engine, 0) is written


def test_a_commit_waits_for_a_synchronous_standby_and_survives_its_promotion():
    engine = Engine(synchronous=1)
    engine.call(lambda connection: connection.execute(CREATE))
    engine.cluster.stall(3 * SECOND)
    engine.begin(lambda connection: connection.execute(INSERT, [0, b"a"]))
    assert len(engine.run(2)) == 1
    assert not has(engine, 0)
    assert len(engine.run(2)) == 3
    engine.cluster.crash(silent=False)
    engine.cluster.promote(synchronous=True)
    assert has(engine, 0)


INSERTION = insertion(TABLE)


def test_an_insertion_is_one_transaction_with_the_check_of_the_epoch(engine):
    assert engine.call(lambda connection: connection.change(INSERTION, (0, b"a", "0", 1))) == 1
    assert engine.call(lambda connection: connection.change(INSERTION, (1, b"b", "0", 2))) == 0
    assert engine.call(lambda connection: connection.change(INSERTION, (0, b"c", "0", 1))).sqlstate == "23505"
    assert has(engine, 0)
    assert not has(engine, 1)


def test_an_insertion_is_executed_once_while_its_commit_waits_for_a_standby():
    engine = Engine(synchronous=1)
    for statement, values in ((CREATE_FENCE, ()), (RAISE, FIRST), (CREATE, ())):
        engine.call(lambda connection, text=statement, given=values: connection.execute(text, given))
    engine.cluster.stall(3 * SECOND)
    engine.begin(lambda connection: connection.change(INSERTION, (0, b"a", "0", 1)))
    engine.run(4)
    assert engine.ends[-1] == 1


def test_a_higher_epoch_waits_for_an_insertion_whose_commit_is_slow(engine):
    stalls = [0]
    engine.cluster.on_stall = lambda name, duration: stalls.append(duration)
    for start in range(100):
        engine.cluster.slow = Slow("writing", True, lambda: None)
        engine.begin(lambda connection, at=start: connection.change(INSERTION, (at, b"a", "0", 1)), "writing")
        engine.scheduler.run(engine.scheduler.now + 10 * MS)
        if stalls[-1] > 500 * MS:
            break
    engine.begin(lambda connection: connection.execute(RAISE, FIRST).fetchone(), "other")
    assert (2,) not in engine.run(0.4)
    assert (2,) in engine.run(5)


def test_a_promotion_loses_what_an_asynchronous_standby_lacks():
    engine = Engine(asynchronous=1)
    engine.cluster.stall(60 * SECOND)
    engine.call(lambda connection: connection.execute(CREATE))
    assert engine.cluster.would_lose(synchronous=False) == 1
    engine.cluster.crash(silent=False)
    engine.cluster.promote(synchronous=False)
    assert engine.call(lambda connection: connection.execute(FIND, [0])).sqlstate == "42P01"


def test_a_session_that_is_idle_in_a_transaction_is_ended(engine):
    engine.begin(held_for(engine, 8, (GUARD, ["0", 1])))
    engine.run(7)
    engine.cluster.primary.end_idle()
    assert engine.run(2)[-1].sqlstate == "25P03"


@pytest.mark.parametrize("directions", [(True, False), (False, True)])
def test_a_partition_breaks_a_connection_and_only_one_direction_hides_the_effect(engine, directions):
    def write(connection):
        engine.path.partition(20 * SECOND, *directions)
        connection.execute(INSERT, [0, b"a"])

    engine.begin(write)
    assert isinstance(engine.run(8)[-1], psycopg.OperationalError)
    assert (0 in engine.cluster.primary.tables["file"]) is directions[1]


def test_a_server_that_is_gone_silently_is_noticed_later(engine):
    def call(connection):
        engine.cluster.crash(silent=True)
        connection.execute(LOCK, [1])

    engine.begin(call)
    assert engine.run(3) == []
    assert isinstance(engine.run(3)[-1], psycopg.OperationalError)


def test_an_unknown_statement_is_an_error(engine):
    with pytest.raises(UnknownStatementError, match="SELECT 2"):
        engine.call(lambda connection: connection.execute("SELECT 2"))
