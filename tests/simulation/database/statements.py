"""The statements that the product sends, and their effects on the simulated engine.

A row of STATEMENTS is the text of a statement, with {} for each name of a table or column, and a function of the
session, the names and the values. A statement that is not in it is an error.
"""

from collections.abc import Callable, Hashable
from typing import Any, Final

from amqpbroker.store.database import database_definitions, fence, schema
from amqpbroker.store.database.session import _END_EARLIER, _SETTINGS
from amqpbroker.store.definitions.tables import TABLES
from tests.simulation.database.backend import NOTHING, Backend, Result
from tests.simulation.database.connection import parsed
from tests.simulation.database.server import Function
from tests.simulation.database.transaction import Row, Rows, ServerError, Transaction
from tests.simulation.scheduler import SECOND

Names = tuple[str, ...]
#: The result of a query that finds something.
FOUND: Final = Result([(1,)], 1)
#: Error of a division by zero.
DIVISION: Final = "22012"


def nothing(session: Backend, names: Names, values: Any) -> Result:
    return NOTHING


# --- transactions -----------------------------------------------------------------------------------------------------


def begin(session: Backend, names: Names, values: Any) -> Result:
    session.open_transaction.explicit = True
    return NOTHING


def commit(session: Backend, names: Names, values: Any) -> Result:
    session.commit()
    return NOTHING


def roll_back(session: Backend, names: Names, values: Any) -> Result:
    session.roll_back()
    return NOTHING


def commit_locally(session: Backend, names: Names, values: Any) -> Result:
    session.open_transaction.local = True
    return NOTHING


# --- tables -----------------------------------------------------------------------------------------------------------

#: Name under which the tables have the schema, since they are not empty then.
_SCHEMA: Final = "schema"


def lock_making(session: Backend, names: Names, values: Any) -> Result:
    session.lock(("advisory", values[0]))
    session.open_transaction.wrote = False
    return NOTHING


def find_schema(session: Backend, names: Names, values: Any) -> Result:
    return FOUND if session.open_transaction.has(_SCHEMA) else NOTHING


def create_schema(session: Backend, names: Names, values: Any) -> Result:
    session.open_transaction.create(_SCHEMA)
    return NOTHING


def creating(table: str) -> Function:
    """Return what creates a table with this name unless it exists."""

    def create(session: Backend, names: Names, values: Any) -> Result:
        if not session.open_transaction.has(table):
            session.open_transaction.create(table)
        return NOTHING

    return create


def create_named(session: Backend, names: Names, values: Any) -> Result:
    return creating(names[0])(session, names, values)


def select_version(session: Backend, names: Names, values: Any) -> Result:
    rows = list(session.open_transaction.rows("format").values())
    return Result(rows, len(rows))


def insert_version(session: Backend, names: Names, values: Any) -> Result:
    session.open_transaction.insert("format", 0, tuple(values))
    return NOTHING


def find_tables(session: Backend, names: Names, values: Any) -> Result:
    prefix = values[1]
    return Result([(name,) for name in session.server.tables if name.startswith(prefix)])


def find_tables_between(session: Backend, names: Names, values: Any) -> Result:
    return Result([(name,) for name in session.server.tables if values[1] <= name < values[2]])


# --- leadership -------------------------------------------------------------------------------------------------------


def try_lock(session: Backend, names: Names, values: Any) -> Result:
    return Result([(session.try_lock_session(("advisory", values[0])),)])


def unlock(session: Backend, names: Names, values: Any) -> Result:
    session.unlock_session(("advisory", values[0]))
    return NOTHING


def raise_epoch(session: Backend, names: Names, values: Any) -> Result:
    return set_epoch(session, values, 1)


def set_epoch(session: Backend, values: Any, further: int) -> Result:
    """Add to the epoch of a log, or to the one that its broker has seen if that is higher."""
    log, seen = values["log"], values["seen"]
    session.lock(("fence", log))
    row = session.open_transaction.rows("fence").get(log)
    epoch = max(row[0], seen) + further if row is not None else seen + 1
    session.open_transaction.set("fence", log, (epoch,))
    return Result([(epoch,)], 1)


def check_epoch(session: Backend, names: Names, values: Any) -> Result:
    log, epoch = values
    if session.open_transaction.rows("fence").get(log) != (epoch,):
        raise ServerError(DIVISION)
    session.lock(("fence", log), shared=True)
    return FOUND


def find_later_epoch(session: Backend, names: Names, values: Any) -> Result:
    log, epoch = values
    row = session.open_transaction.rows("fence").get(log)
    return FOUND if row is not None and row[0] > epoch else NOTHING


def delete_leader(session: Backend, names: Names, values: Any) -> Result:
    session.lock(("leadership", values[0]))
    session.open_transaction.set("leadership", values[0], None)
    return NOTHING


def insert_leader(session: Backend, names: Names, values: Any) -> Result:
    log, epoch, holder, address, process, host, port, secret, lease_s = values
    until = session.server.clock_ns + int(lease_s * SECOND)
    row = (holder, address, process, host, port, secret, epoch, until, False)
    session.open_transaction.insert("leadership", log, row)
    return NOTHING


def _change_leader(session: Backend, log: str, epoch: int, process: str, at: int, value: Any) -> Result:
    row = session.open_transaction.rows("leadership").get(log)
    if row is None or row[6] != epoch or row[2] != process:
        return NOTHING
    session.lock(("leadership", log))
    session.open_transaction.set("leadership", log, (*row[:at], value, *row[at + 1 :]))
    return Result([], 1)


def renew(session: Backend, names: Names, values: Any) -> Result:
    lease_s, log, epoch, process = values
    return _change_leader(session, log, epoch, process, 7, session.server.clock_ns + int(lease_s * SECOND))


def release(session: Backend, names: Names, values: Any) -> Result:
    _successor, log, epoch, process = values
    return _change_leader(session, log, epoch, process, 8, True)


def select_leader(session: Backend, names: Names, values: Any) -> Result:
    row = session.open_transaction.rows("leadership").get(values[0])
    if row is None:
        return NOTHING
    return Result([(*row[:8], row[7] > session.server.clock_ns, row[8])], 1)


def find_other_log(session: Backend, names: Names, values: Any) -> Result:
    return FOUND if any(log != values[0] for log in session.open_transaction.rows("leadership")) else NOTHING


def number_write(session: Backend, names: Names, values: Any) -> Result:
    log, *place = values
    session.lock(("proof", log))
    session.open_transaction.set("proof", log, tuple(place))
    return NOTHING


def find_write(session: Backend, names: Names, values: Any) -> Result:
    log, epoch, number = values
    row = session.open_transaction.rows("proof").get(log)
    return FOUND if row is not None and row[0] == epoch and row[1] >= number else NOTHING


def end_earlier(session: Backend, names: Names, values: Any) -> Result:
    return Result([(True,)] * session.server.terminate_named(values[0], session))


def terminate(session: Backend, names: Names, values: Any) -> Result:
    session.server.terminate(values[0], session)
    return NOTHING


# --- brokers ----------------------------------------------------------------------------------------------------------

#: Columns of a row, whose key is the process.
_NODE, _ADDRESS, _VERSION, _PATTERN, _DRAINED, _LAG, _STARTED, _SEEN, _YIELDS = range(9)


#: A time before all others.
NEVER: Final = -(10**18)


def put_broker(session: Backend, names: Names, values: Any) -> Result:
    process, node, address, version, vhosts, drained, lag = values
    session.lock(("brokers", process))
    now = session.server.clock_ns
    row = session.open_transaction.rows("brokers").get(process)
    drained, _, started, _, yields = row[_DRAINED:] if row is not None else (drained, None, now, None, NEVER)
    facts = (node, address, version, vhosts)
    session.open_transaction.set("brokers", process, (*facts, drained, lag, started, now, yields))
    return Result([(drained,)], 1)


def select_broker(session: Backend, names: Names, values: Any) -> Result:
    row = session.open_transaction.rows("brokers").get(values[0])
    return Result([(row[_DRAINED], row[_YIELDS] > session.server.clock_ns)], 1) if row is not None else NOTHING


def delete_broker(session: Backend, names: Names, values: Any) -> Result:
    return _delete_brokers(session, lambda process, row: process == values[0])


def delete_earlier(session: Backend, names: Names, values: Any) -> Result:
    """Delete the rows of earlier processes of a broker."""
    return _delete_brokers(session, lambda process, row: [*row[: _ADDRESS + 1]] == values[:2] and process != values[2])


def delete_unseen(session: Backend, names: Names, values: Any) -> Result:
    end = session.server.clock_ns - int(values[0] * SECOND)
    return _delete_brokers(session, lambda process, row: row[_SEEN] < end)


def _delete_brokers(session: Backend, is_meant: Callable[[Hashable, Row], bool]) -> Result:
    found = [process for process, row in session.open_transaction.rows("brokers").items() if is_meant(process, row)]
    for process in found:
        session.lock(("brokers", process))
    for process in found:
        session.open_transaction.set("brokers", process, None)
    return Result([], len(found))


# --- files ------------------------------------------------------------------------------------------------------------


def insert_part(session: Backend, names: Names, values: Any) -> Result:
    start, data = values
    session.lock((names[0], start))
    session.open_transaction.insert(names[0], start, (bytes(data),))
    return NOTHING


def insert_guarded(session: Backend, names: Names, values: Any) -> Result:
    """Insert a row of a file if the epoch is still the same, which a lock ensures."""
    start, data, log, epoch = values
    # The table is looked for first.
    session.open_transaction.rows(names[0])
    if session.open_transaction.rows("fence").get(log) != (epoch,):
        return NOTHING
    session.lock(("fence", log), shared=True)
    insert_part(session, names, (start, data))
    return Result([], 1)


def insert_numbered(session: Backend, names: Names, values: Any) -> Result:
    """Also number the write."""
    start, data, log, epoch, number = values
    if session.open_transaction.rows("fence").get(log) == (epoch,):
        # All locks before all changes, since a statement that waits is executed again.
        session.lock(("fence", log), shared=True)
        session.lock(("proof", log))
    result = insert_guarded(session, names, (start, data, log, epoch))
    if result.changed:
        number_write(session, names, (log, epoch, number))
    return result


def delete_parts(session: Backend, names: Names, values: Any) -> Result:
    table, (end,) = names[0], values
    transaction = session.open_transaction
    starts = [start for start in _parts(transaction, table) if start >= end]
    for start in starts:
        session.lock((table, start))
    for start in starts:
        transaction.set(table, start, None)
    return NOTHING


def cut_parts(session: Backend, names: Names, values: Any) -> Result:
    table, end = names[0], values[0]
    transaction = session.open_transaction
    cut = [(start, row[0]) for start, row in _parts(transaction, table).items() if start + len(row[0]) > end]
    for start, _ in cut:
        session.lock((table, start))
    for start, data in cut:
        transaction.set(table, start, (data[: end - start],))
    return NOTHING


def find_part(session: Backend, names: Names, values: Any) -> Result:
    return FOUND if values[0] in session.open_transaction.rows(names[0]) else NOTHING


def find_end(session: Backend, names: Names, values: Any) -> Result:
    rows = _parts(session.open_transaction, names[0])
    if not rows:
        return NOTHING
    last = max(rows)
    return Result([(last + len(rows[last][0]),)], 1)


def read_parts(session: Backend, names: Names, values: Any) -> Result:
    start, stop = values["start"], values["stop"]
    rows = _parts(session.open_transaction, names[0])
    first = max((at for at in rows if at <= start), default=0)
    return Result(
        [(rows[at][0][max(start - at, 0) : stop - at],) for at in sorted(rows) if first <= at < stop],
    )


def drop(session: Backend, names: Names, values: Any) -> Result:
    if session.open_transaction.has(names[0]):
        session.open_transaction.drop(names[0])
    return NOTHING


def _parts(transaction: Transaction, table: str) -> dict[int, Any]:
    rows: Rows = transaction.rows(table)
    return rows  # type: ignore[return-value] # a file's keys are offsets


def synchronous(session: Backend, names: Names, values: Any) -> Result:
    return Result([("ANY 1 (a, b)" if session.server.is_synchronous else "", "on")], 1)


# --- definitions ------------------------------------------------------------------------------------------------------


def find_last_id(session: Backend, names: Names, values: Any) -> Result:
    row = session.open_transaction.rows("last_id").get(values[0])
    return Result([row], 1) if row is not None else NOTHING


def raise_last_id(session: Backend, names: Names, values: Any) -> Result:
    log, number = values
    session.lock(("last_id", log))
    row = session.open_transaction.rows("last_id").get(log)
    session.open_transaction.set("last_id", log, (max(number, row[0] if row else 0),))
    return NOTHING


def put_definition(session: Backend, names: Names, values: Any) -> Result:
    key, *fields = values
    session.lock((names[0], key))
    session.open_transaction.set(names[0], key, tuple(fields))
    return NOTHING


def delete_definition(session: Backend, names: Names, values: Any) -> Result:
    key: Hashable = values[0]
    session.lock((names[0], key))
    session.open_transaction.set(names[0], key, None)
    return NOTHING


def select_definitions(session: Backend, names: Names, values: Any) -> Result:
    return Result(list(session.open_transaction.rows(names[-1]).values()))


# --- the table --------------------------------------------------------------------------------------------------------

STATEMENTS: Final[dict[str, Function]] = {
    _SETTINGS: nothing,
    _END_EARLIER: end_earlier,
    "BEGIN": begin,
    "COMMIT": commit,
    "ROLLBACK": roll_back,
    "SET LOCAL synchronous_commit TO local": commit_locally,
    "SET LOCAL lock_timeout TO '1s'": nothing,
    # schema
    "SELECT pg_advisory_xact_lock(%s)": lock_making,
    "SELECT 1 FROM pg_namespace WHERE nspname = %s": find_schema,
    "CREATE SCHEMA {}": create_schema,
    "CREATE TABLE IF NOT EXISTS format (version integer NOT NULL)": creating("format"),
    "SELECT version FROM format": select_version,
    "INSERT INTO format (version) VALUES (%s)": insert_version,
    **{text: create_named if names else creating(text.split()[2]) for text, names in map(parsed, schema._statements())},
    # leadership
    "SELECT pg_try_advisory_lock(%s)": try_lock,
    "SELECT pg_advisory_unlock(%s)": unlock,
    "INSERT INTO fence (log, epoch) VALUES (%(log)s, %(seen)s + 1) ON CONFLICT (log)"
    " DO UPDATE SET epoch = greatest(fence.epoch, %(seen)s) + 1 RETURNING epoch": raise_epoch,
    "DELETE FROM leadership WHERE log = %s": delete_leader,
    "INSERT INTO leadership (log, epoch, holder, address, process, host, port, secret, released, until)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, false, clock_timestamp() + %s * interval '1 second')": insert_leader,
    "UPDATE leadership SET until = clock_timestamp() + %s * interval '1 second'"
    " WHERE log = %s AND epoch = %s AND process = %s": renew,
    "UPDATE leadership SET released = true, successor = %s WHERE log = %s AND epoch = %s AND process = %s": release,
    "SELECT holder, address, process, host, port, secret, epoch, until, until > clock_timestamp(), released"
    " FROM leadership WHERE log = %s": select_leader,
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE starts_with(application_name, %s) AND pid <> pg_backend_pid()": terminate,
    "SELECT 1 FROM leadership WHERE log <> %s LIMIT 1": find_other_log,
    # brokers
    schema._BROKERS: creating("brokers"),
    "DELETE FROM brokers WHERE node = %s AND address = %s AND process <> %s": delete_earlier,
    "DELETE FROM brokers WHERE seen < clock_timestamp() - %s * interval '1 second'": delete_unseen,
    "INSERT INTO brokers (process, node, address, version, pattern, drained, lag, started, seen, yields)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, clock_timestamp(), clock_timestamp(), '-infinity')"
    " ON CONFLICT (process) DO UPDATE SET node = excluded.node, address = excluded.address,"
    " version = excluded.version, pattern = excluded.pattern, lag = excluded.lag, seen = excluded.seen"
    " RETURNING drained": put_broker,
    "SELECT drained, yields > clock_timestamp() FROM brokers WHERE process = %s": select_broker,
    "DELETE FROM brokers WHERE process = %s": delete_broker,
    # fence
    "SELECT 1 / count(*) FROM (SELECT 1 FROM fence WHERE log = %s AND epoch = %s FOR SHARE) AS held": check_epoch,
    fence._INSERT: insert_guarded,
    fence._INSERT_NUMBERED: insert_numbered,
    "SELECT 1 FROM fence WHERE log = %s AND epoch > %s": find_later_epoch,
    fence._NUMBER: number_write,
    fence._FIND_NUMBER: find_write,
    # files
    "SELECT tablename FROM pg_tables WHERE schemaname = %s AND starts_with(tablename, %s)": find_tables,
    "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename >= %s AND tablename < %s": find_tables_between,
    "SELECT start + length(data) FROM {} ORDER BY start DESC LIMIT 1": find_end,
    "SELECT 1 FROM {} WHERE start = %s": find_part,
    "CREATE TABLE IF NOT EXISTS {} (start bigint PRIMARY KEY, data bytea NOT NULL)": create_named,
    "ALTER TABLE {} ALTER data SET STORAGE EXTERNAL": nothing,
    "DELETE FROM {} WHERE start >= %s": delete_parts,
    "UPDATE {} SET data = substr(data, 1, (%s - start)::int) WHERE start + length(data) > %s": cut_parts,
    "INSERT INTO {} (start, data) VALUES (%s, %s)": insert_part,
    "DROP TABLE IF EXISTS {}": drop,
    "SELECT substr(data, greatest(%(start)s - start, 0)::int + 1,"
    " (%(stop)s - greatest(start, %(start)s))::int) FROM {}"
    " WHERE start >= coalesce((SELECT max(start) FROM {} WHERE start <= %(start)s), 0) AND start < %(stop)s"
    " ORDER BY start": read_parts,
    # storage
    "SELECT current_setting('synchronous_standby_names'), current_setting('synchronous_commit')": synchronous,
    # definitions
    "SELECT id FROM last_id WHERE log = %s": find_last_id,
    parsed(database_definitions._LAST_ID)[0]: raise_last_id,
    **{parsed(query)[0]: put_definition for query in database_definitions._PUT.values()},
    "DELETE FROM {} WHERE key = %s": delete_definition,
    # Nothing here reads the logs of vhosts.
    database_definitions._ADD_LOG: nothing,
    **{
        f"SELECT {', '.join(['{}'] * len(kind._fields))} FROM {{}} ORDER BY place": select_definitions
        for kind in TABLES
    },
}

#: Functions that neither change nor lock anything.
READERS: Final[frozenset[Function]] = frozenset(
    {find_schema, select_version, find_tables, select_leader, find_part, find_end, read_parts, synchronous}
    | {find_last_id, select_definitions, find_write, find_later_epoch, find_other_log, select_broker}
)
