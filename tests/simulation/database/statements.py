"""The statements that the product sends, and their effects on the simulated engine.

A row of STATEMENTS is the text of a statement, with {} for each name of a table or column, and a function of the
session, the names and the values. A statement that is not in it is an error.
"""

from collections.abc import Callable, Hashable
from typing import Any, Final

from amqpbroker.cluster.following import definitions_follower, vhost_followers
from amqpbroker.cluster.leadership import leadership, leaderships, members
from amqpbroker.store.database import database_definitions, fence, schema, vhost_logs
from amqpbroker.store.database.database_definitions import OBJECTS
from amqpbroker.store.database.session import _END_EARLIER, _SETTINGS
from amqpbroker.store.definitions.tables import TABLES
from tests.simulation.database.backend import NOTHING, Backend, Result
from tests.simulation.database.connection import parsed
from tests.simulation.database.server import Function
from tests.simulation.database.transaction import Row, Rows, ServerError, Transaction
from tests.simulation.scheduler import MS, SECOND

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


def find_leadership(session: Backend, names: Names, values: Any) -> Result:
    """Find the epoch of a log, if it is not later than this one."""
    log, epoch = values
    row = session.open_transaction.rows("fence").get(log)
    return FOUND if row is not None and row[0] <= epoch else NOTHING


def delete_leader(session: Backend, names: Names, values: Any) -> Result:
    session.lock(("leadership", values[0]))
    session.open_transaction.set("leadership", values[0], None)
    return NOTHING


def insert_leader(session: Backend, names: Names, values: Any) -> Result:
    holder, address, process, host, port, secret, lease_s, log = values
    (epoch,) = session.open_transaction.rows("fence")[log]
    until = session.server.clock_ns + int(lease_s * SECOND)
    row = (holder, address, process, host, port, secret, epoch, until, False, False, "", "")
    session.open_transaction.insert("leadership", log, row)
    return NOTHING


#: Columns of a row, whose key is the log.
_PROCESS, _EPOCH, _UNTIL, _RELEASED, _BUSY, _SUCCESSOR, _READY = 2, 6, 7, 8, 9, 10, 11


def _change_leader(session: Backend, log: str, epoch: int, process: str, values: dict[int, Any]) -> Result:
    row = session.open_transaction.rows("leadership").get(log)
    if row is None or row[_EPOCH] != epoch or row[_PROCESS] != process:
        return NOTHING
    session.lock(("leadership", log))
    session.open_transaction.set("leadership", log, _changed(row, values))
    return Result([], 1)


def _changed(row: Row, values: dict[int, Any]) -> Row:
    return tuple(values.get(at, value) for at, value in enumerate(row))


def renew_all(session: Backend, names: Names, values: Any) -> Result:
    """Renew the leases of several logs of a process, but of those that are locked; return all that it has."""
    rows, process = session.open_transaction.rows("leadership"), values["process"]
    found = [log for log in values["logs"] if log in rows and rows[log][_PROCESS] == process]
    session.open_transaction.local = True
    until = session.server.clock_ns + int(values["lease_s"] * SECOND)
    for log in found:
        if session.lock_if_free(("leadership", log)):
            changed = _changed(rows[log], {_UNTIL: until, _BUSY: log in values["busy"]})
            session.open_transaction.set("leadership", log, changed)
    return Result([(log, rows[log][_EPOCH], "off") for log in found], len(found))


def extend_all(session: Backend, names: Names, values: Any) -> Result:
    """Extend the leases of logs that a process has in these epochs, but of those that are locked."""
    logs, epochs, process, lease_s = values
    session.open_transaction.local = True
    rows, until = session.open_transaction.rows("leadership"), session.server.clock_ns + int(lease_s * SECOND)
    for log, epoch in zip(logs, epochs, strict=True):
        row = rows.get(log)
        if row is None or (row[_PROCESS], row[_EPOCH], row[_RELEASED]) != (process, epoch, False):
            continue
        if session.lock_if_free(("leadership", log)):
            session.open_transaction.set("leadership", log, _changed(row, {_UNTIL: until}))
    return NOTHING


def set_ready(session: Backend, names: Names, values: Any) -> Result:
    """Name a process that is ready to take logs, but of those that are locked."""
    logs, process = values
    session.open_transaction.local = True
    rows = session.open_transaction.rows("leadership")
    for log in logs:
        if log in rows and session.lock_if_free(("leadership", log)):
            session.open_transaction.set("leadership", log, _changed(rows[log], {_READY: process}))
    return NOTHING


def clear_ready(session: Backend, names: Names, values: Any) -> Result:
    """Do not name a process any more as ready to take logs, but for those that are locked."""
    logs, process = values
    rows = session.open_transaction.rows("leadership")
    found = [log for log in logs if log in rows and rows[log][_READY] == process]
    session.open_transaction.local = True
    for log in found:
        if session.lock_if_free(("leadership", log)):
            session.open_transaction.set("leadership", log, _changed(rows[log], {_READY: ""}))
    return NOTHING


def is_ready(leaderships: Rows, log: str) -> bool:
    """Return whether the row of a log names a process that is ready to take it."""
    return log in leaderships and bool(leaderships[log][_READY])


def release(session: Backend, names: Names, values: Any) -> Result:
    successor, log, epoch, process = values
    return _change_leader(session, log, epoch, process, {_RELEASED: True, _SUCCESSOR: successor})


def select_leader(session: Backend, names: Names, values: Any) -> Result:
    row = session.open_transaction.rows("leadership").get(values[0])
    if row is None:
        return NOTHING
    return Result([(*row[:8], row[_UNTIL] > session.server.clock_ns, row[_RELEASED])], 1)


def select_leaders(session: Backend, names: Names, values: Any) -> Result:
    now = session.server.clock_ns
    rows = session.open_transaction.rows("leadership").items()
    return Result(
        [
            (
                log,
                *row[:7],
                row[_UNTIL] > now and not row[_RELEASED],
                row[_BUSY],
                row[_SUCCESSOR],
                "",
                False,
                row[_READY],
                row[_UNTIL],
            )
            for log, row in rows
        ]
    )


def find_leader(session: Backend, names: Names, values: Any) -> Result:
    """Find the leadership of a log, if it is that of a process in an epoch."""
    log, epoch, process = values
    row = session.open_transaction.rows("leadership").get(log)
    return FOUND if row is not None and (row[_EPOCH], row[_PROCESS]) == (epoch, process) else NOTHING


def number_write(session: Backend, names: Names, values: Any) -> Result:
    log, *place = values
    session.lock(("proof", log))
    session.open_transaction.set("proof", log, tuple(place))
    return NOTHING


def find_write(session: Backend, names: Names, values: Any) -> Result:
    log, epoch, number = values
    row = session.open_transaction.rows("proof").get(log)
    return FOUND if row is not None and row[0] == epoch and row[1] >= number else NOTHING


def select_write(session: Backend, names: Names, values: Any) -> Result:
    row = session.open_transaction.rows("proof").get(values[0])
    return Result([row], 1) if row is not None else NOTHING


def freeze(session: Backend, names: Names, values: Any) -> Result:
    session.open_transaction.freeze()
    return NOTHING


def find_one(session: Backend, names: Names, values: Any) -> Result:
    return FOUND


def end_earlier(session: Backend, names: Names, values: Any) -> Result:
    return Result([(True,)] * session.server.terminate_named(values[0], session))


def end_holder(session: Backend, names: Names, values: Any) -> Result:
    """End the sessions of the process that has an advisory lock, unless its row of the brokers is new."""
    holder = session.server.locks.holder(("advisory", values["lock"]))
    if not isinstance(holder, Backend) or holder is session:
        return NOTHING
    process = holder.name.removeprefix(values["prefix"]).removesuffix(" lease")
    row = session.open_transaction.rows("brokers").get(process)
    if row is None or row[_SEEN] <= session.server.clock_ns - int(values["lease_s"] * SECOND):
        session.server.terminate(f"{values['prefix']}{process} ", session)
    return NOTHING


# --- brokers ----------------------------------------------------------------------------------------------------------

#: Columns of a row, whose key is the process.
_NODE, _ADDRESS, _VERSION, _PATTERN, _HOST, _PORT, _SECRET, _DRAINED, _LAG, _STARTED, _SEEN, _YIELDS = range(12)


#: A time before all others.
NEVER: Final = -(10**18)


def put_broker(session: Backend, names: Names, values: Any) -> Result:
    """Write the row of a broker, and remove old ones."""
    process, now = values["process"], session.server.clock_ns
    rows = session.open_transaction.rows("brokers")
    old = [key for key, row in rows.items() if row[_SEEN] < now - int(values["removed_s"] * SECOND) and key != process]
    for key in (*old, process):
        session.lock(("brokers", key))
    session.open_transaction.local = True
    for key in old:
        session.open_transaction.set("brokers", key, None)
    row = rows.get(process)
    drained, _, started, _, yields = row[_DRAINED:] if row is not None else (values["drained"], None, now, None, NEVER)
    facts = tuple(values[field] for field in ("node", "address", "version", "pattern", "host", "port", "secret"))
    session.open_transaction.set("brokers", process, (*facts, drained, values["lag"], started, now, yields))
    return Result([(drained, "off")], 1)


def select_brokers(session: Backend, names: Names, values: Any) -> Result:
    lease_s, lease = values
    end = session.server.clock_ns - int(lease_s * SECOND)
    sessions = {each.name for each in session.server.backends}
    rows = session.open_transaction.rows("brokers").items()
    ordered = sorted(rows, key=lambda item: (item[1][_STARTED], item[0]))
    return Result(
        [
            (
                process,
                *row[: _SECRET + 1],
                row[_SEEN] > end and lease % process in sessions,
                row[_DRAINED],
                row[_STARTED] // MS,
                row[_SEEN] // MS,
                row[_LAG],
            )
            for process, row in ordered
        ]
    )


def drain(session: Backend, names: Names, values: Any) -> Result:
    drained, process = values
    session.lock(("brokers", process))
    row = session.open_transaction.rows("brokers").get(process)
    if row is None:
        return NOTHING
    session.open_transaction.set("brokers", process, _changed(row, {_DRAINED: drained}))
    return Result([], 1)


def lock_brokers(session: Backend, names: Names, values: Any) -> Result:
    """Keep others from draining a broker at the same time."""
    session.lock(("brokers", None))
    return NOTHING


def drain_one(session: Backend, names: Names, values: Any) -> Result:
    return drain(session, names, (True, *values))


def delete_broker(session: Backend, names: Names, values: Any) -> Result:
    return _delete_brokers(session, lambda process, row: process == values[0])


def delete_earlier(session: Backend, names: Names, values: Any) -> Result:
    """Delete the rows of earlier processes of a broker."""
    # Without a crash, a server that does not wait for its disk does the same as one that does.
    session.open_transaction.local = True
    return _delete_brokers(session, lambda process, row: [*row[: _ADDRESS + 1]] == values[:2] and process != values[2])


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


def find_parts(session: Backend, names: Names, values: Any) -> Result:
    count, starts = values
    rows = session.open_transaction.rows(names[0])
    return FOUND if count == sum(start in rows for start in starts) else NOTHING


def find_ends(session: Backend, names: Names, values: Any) -> Result:
    rows = _parts(session.open_transaction, names[0])
    last = sorted(rows, reverse=True)[: values[0]]
    return Result([(start, start + len(rows[start][0])) for start in last], len(last))


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


#: Table -> the kind of its definitions.
_KINDS: Final = {table: kind for kind, table in TABLES.items()}


def put_definition(session: Backend, names: Names, values: Any) -> Result:
    """Store a row: the fields, and the log for a kind that is stored with the log of its vhost."""
    key, *fields = values
    session.lock((names[0], key))
    session.open_transaction.set(names[0], key, tuple(fields))
    return NOTHING


def delete_definition(session: Backend, names: Names, values: Any) -> Result:
    key: Hashable = values[0]
    session.lock((names[0], key))
    session.open_transaction.set(names[0], key, None)
    return NOTHING


def delete_of_vhost(session: Backend, names: Names, values: Any) -> Result:
    at = _KINDS[names[0]]._fields.index("vhost")
    return _delete_rows(session, names[0], lambda row: row[at] == values[0])


def delete_of_vhost_in_log(session: Backend, names: Names, values: Any) -> Result:
    log, vhost = values
    at = _KINDS[names[0]]._fields.index("vhost")
    return _delete_rows(session, names[0], lambda row: row[-1] == log and row[at] == vhost)


def delete_of_log(session: Backend, names: Names, values: Any) -> Result:
    """Delete the rows of a log in a table of definitions, or in one whose key is the log."""
    table, log = names[0], values[0]
    if table in _KINDS:
        return _delete_rows(session, table, lambda row: row[-1] == log)
    if log not in session.open_transaction.rows(table):
        return NOTHING
    session.lock((table, log))
    session.open_transaction.set(table, log, None)
    return Result([], 1)


def _delete_rows(session: Backend, table: str, is_meant: Callable[[Row], bool]) -> Result:
    found = [key for key, row in session.open_transaction.rows(table).items() if is_meant(row)]
    for key in found:
        session.lock((table, key))
    for key in found:
        session.open_transaction.set(table, key, None)
    return Result([], len(found))


def select_definitions(session: Backend, names: Names, values: Any) -> Result:
    fields = len(_KINDS[names[-1]]._fields)
    return Result([row[:fields] for row in session.open_transaction.rows(names[-1]).values()])


def select_definitions_of_log(session: Backend, names: Names, values: Any) -> Result:
    rows = session.open_transaction.rows(names[-1]).values()
    return Result([row[:-1] for row in rows if row[-1] == values[0]])


# --- logs of vhosts ---------------------------------------------------------------------------------------------------

#: Columns of a row, whose key is the number.
_VHOST, _REMOVED = range(2)


def select_logs(session: Backend, names: Names, values: Any) -> Result:
    rows = session.open_transaction.rows("vhost_log")
    return Result([(number, *rows[number]) for number in sorted(rows)])  # type: ignore[type-var] # numbers


def find_log(session: Backend, names: Names, values: Any) -> Result:
    """Find a log that is not removed."""
    row = session.open_transaction.rows("vhost_log").get(int(values[0][1:]))
    return FOUND if row is not None and not row[_REMOVED] else NOTHING


def keep_log(session: Backend, names: Names, values: Any) -> Result:
    """Lock a log so that it stays until the end of the transaction; fail if there is none."""
    number = int(values[0][1:])
    if number not in session.open_transaction.rows("vhost_log"):
        raise ServerError(DIVISION)
    session.lock(("vhost_log", number), shared=True)
    return FOUND


def add_log(session: Backend, names: Names, values: Any) -> Result:
    """Add a log for a vhost, unless there is one that is not removed."""
    vhost = values[0]
    if _logs_of(session, lambda row: row[_VHOST] == vhost and not row[_REMOVED]):
        return NOTHING
    # The unique index.
    session.lock(("vhost_log_vhost", vhost))
    number = session.server.next_number()
    session.open_transaction.insert("vhost_log", number, (vhost, False))
    return Result([], 1)


def mark_removed(session: Backend, names: Names, values: Any) -> Result:
    """Mark the log of a vhost as removed."""
    return _mark(session, lambda row: row[_VHOST] == values[0] and not row[_REMOVED])


def mark_others_removed(session: Backend, names: Names, values: Any) -> Result:
    """Mark the logs of vhosts as removed that do not exist."""
    existing = _vhosts(session)
    return _mark(session, lambda row: row[_VHOST] not in existing and not row[_REMOVED])


def _mark(session: Backend, is_meant: Callable[[Row], bool]) -> Result:
    found = _logs_of(session, is_meant)
    for number in found:
        session.lock(("vhost_log", number))
    for number, row in found.items():
        session.open_transaction.set("vhost_log", number, (row[_VHOST], True))
    return Result([], len(found))


def add_missing_logs(session: Backend, names: Names, values: Any) -> Result:
    """Add a log for each vhost that has none."""
    have = {row[_VHOST] for row in _logs_of(session, lambda row: not row[_REMOVED]).values()}
    missing = [vhost for vhost in _vhosts(session) if vhost not in have]
    for vhost in missing:
        session.lock(("vhost_log_vhost", vhost))
    for vhost in missing:
        session.open_transaction.insert("vhost_log", session.server.next_number(), (vhost, False))
    return Result([], len(missing))


def check_removed(session: Backend, names: Names, values: Any) -> Result:
    """Fail unless a log is removed; lock it."""
    number = values[0]
    row = session.open_transaction.rows("vhost_log").get(number)
    if row is None or not row[_REMOVED]:
        raise ServerError(DIVISION)
    session.lock(("vhost_log", number))
    return FOUND


def delete_log(session: Backend, names: Names, values: Any) -> Result:
    number = values[0]
    if number not in session.open_transaction.rows("vhost_log"):
        return NOTHING
    session.lock(("vhost_log", number))
    session.open_transaction.set("vhost_log", number, None)
    return Result([], 1)


def _logs_of(session: Backend, is_meant: Callable[[Row], bool]) -> Rows:
    return {number: row for number, row in session.open_transaction.rows("vhost_log").items() if is_meant(row)}


def _vhosts(session: Backend) -> list[str]:
    return [row[0] for row in session.open_transaction.rows("vhost").values()]


# --- the table --------------------------------------------------------------------------------------------------------


def _fields(kind: Any) -> str:
    return ", ".join(["{}"] * len(kind._fields))


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
    schema._FIND_COLUMN: find_one,
    # leadership
    "SELECT pg_try_advisory_lock(%s)": try_lock,
    "SELECT pg_advisory_unlock(%s)": unlock,
    leadership._RAISE: raise_epoch,
    "DELETE FROM leadership WHERE log = %s": delete_leader,
    leadership._LEAD: insert_leader,
    leaderships._RENEW: renew_all,
    leaderships._EXTEND: extend_all,
    leaderships._ALL: select_leaders,
    leaderships._SET_READY: set_ready,
    leaderships._CLEAR_READY: clear_ready,
    vhost_followers._TAKEN: find_leader,
    "UPDATE leadership SET released = true, successor = %s WHERE log = %s AND epoch = %s AND process = %s": release,
    "SELECT holder, address, process, host, port, secret, epoch, until, until > clock_timestamp(), released"
    " FROM leadership WHERE log = %s": select_leader,
    leadership._END_HOLDER: end_holder,
    # brokers
    schema._BROKERS: creating("brokers"),
    members._REPLACE: delete_earlier,
    members._REPORT: put_broker,
    "UPDATE brokers SET drained = %s WHERE process = %s": drain,
    "LOCK TABLE brokers IN SHARE ROW EXCLUSIVE MODE": lock_brokers,
    "UPDATE brokers SET drained = true WHERE process = %s": drain_one,
    members._ROWS: select_brokers,
    "DELETE FROM brokers WHERE process = %s": delete_broker,
    # fence
    "SELECT 1 / count(*) FROM (SELECT 1 FROM fence WHERE log = %s AND epoch = %s FOR SHARE) AS held": check_epoch,
    fence._INSERT: insert_guarded,
    fence._INSERT_NUMBERED: insert_numbered,
    fence._STILL: find_leadership,
    fence._NUMBER: number_write,
    fence._FIND_NUMBER: find_write,
    # files
    "SELECT tablename FROM pg_tables WHERE schemaname = %s AND starts_with(tablename, %s)": find_tables,
    "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename >= %s AND tablename < %s": find_tables_between,
    "SELECT start, start + length(data) FROM {} ORDER BY start DESC LIMIT %s": find_ends,
    "SELECT 1 FROM {} WHERE start = %s": find_part,
    "SELECT 1 WHERE %s = (SELECT count(*) FROM {} WHERE start = ANY(%s))": find_parts,
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
    "DELETE FROM {} WHERE vhost = %s": delete_of_vhost,
    "DELETE FROM {} WHERE log = %s AND vhost = %s": delete_of_vhost_in_log,
    "DELETE FROM {} WHERE log = %s": delete_of_log,
    **{f"SELECT {_fields(kind)} FROM {{}} ORDER BY place": select_definitions for kind in TABLES},
    **{
        f"SELECT {_fields(kind)} FROM {{}} WHERE log = %s ORDER BY place": select_definitions_of_log for kind in OBJECTS
    },
    definitions_follower._LAST: select_write,
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ": freeze,
    # logs of vhosts
    database_definitions._ADD_LOG: add_log,
    database_definitions._REMOVE_LOG: mark_removed,
    vhost_logs._ALL: select_logs,
    vhost_logs._EXISTING: find_log,
    leadership._KEEP: keep_log,
    vhost_logs._MARK_REMOVED: mark_others_removed,
    vhost_logs._ADD_MISSING: add_missing_logs,
    vhost_logs._STILL_REMOVED: check_removed,
    "DELETE FROM vhost_log WHERE number = %s": delete_log,
    "SELECT 1": find_one,
}

#: Functions that neither change nor lock anything.
READERS: Final[frozenset[Function]] = frozenset(
    {find_schema, select_version, find_tables, select_leader, find_part, find_ends, read_parts, synchronous, find_parts}
    | {find_last_id, select_definitions, select_definitions_of_log, find_write, find_leadership, select_write}
    | {select_leaders, select_brokers, select_logs, find_log, find_one}
    | {find_tables_between, find_leader}
)
