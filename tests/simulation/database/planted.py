"""Faults planted into the running product, one at a time, which the worlds must find."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Final
from unittest.mock import patch

from amqpbroker.store.database import fence
from tests.simulation.database.backend import NOTHING, Backend, Result
from tests.simulation.database.server import Function
from tests.simulation.database.statements import DIVISION, FOUND, STATEMENTS, insert_part, number_write, set_epoch
from tests.simulation.database.transaction import ServerError
from tests.simulation.planted.fault import ROOT, Planted, changed

PLANTED: Final = (
    Planted("no epoch check in a write", "fence.py", "connection.execute(_GUARD, (self._log, self._epoch))", "pass"),
    Planted(
        "the epoch not raised",
        "leadership.py",
        "greatest(fence.epoch, %(seen)s) + 1 RETURNING",
        "greatest(fence.epoch, %(seen)s) RETURNING",
    ),
    Planted(
        "a lost answer taken for success",
        "fence.py",
        "connection.rollback()\n                raise",
        "connection.rollback()\n                    raise",
    ),
    Planted(
        "no proof of the last write", "fence.py", "                self._check(connection)", "                pass"
    ),
    Planted(
        "no grace after a failover", "leadership.py", "row.released or silent_s >= GRACE_S", "row.released or True"
    ),
    Planted(
        "a write in doubt not replaced",
        "database_files.py",
        "if self.may_replace:",
        "if not self.exists:",
    ),
    Planted(
        "a hanging leader's sessions not ended",
        "leadership.py",
        "            connection.execute(_END_HOLDER, values)",
        "            pass",
    ),
    Planted(
        "definitions forgotten when their write fails",
        "database_definitions.py",
        "self._fence.write(changes)",
        "self._writes = [[]]; self._fence.write(changes)",
    ),
    Planted(
        "a refused write not repeated",
        "database_files.py",
        "            self._under_way = set()\n            raise\n",
        "            self._under_way = set()\n            return\n",
    ),
    Planted(
        "a refused row not repeated",
        "database_files.py",
        "        self._fence.insert_row(kept.insertion, start, data)\n",
        "        try:\n            self._fence.insert_row(kept.insertion, start, data)\n"
        "        except OSError:\n            pass\n",
    ),
    Planted("a gap not found", "database_files.py", "        if start != end:\n            break\n", "        pass\n"),
    Planted(
        "a takeover that no standby has",
        "leadership.py",
        'connection.execute("BEGIN")\n                raised',
        'connection.execute("BEGIN")\n'
        '                connection.execute("SET LOCAL synchronous_commit TO local")\n'
        "                raised",
    ),
    Planted("the row of the epoch not locked", "fence.py", "epoch = %s FOR SHARE) AS held", "epoch = %s) AS held"),
    Planted("no epoch check of an insertion", "fence.py", "            if not inserted:\n", "            if False:\n"),
    Planted(
        "the row of the epoch not locked by an insertion",
        "fence.py",
        "SELECT $1, $2 FROM fence WHERE log = $3 AND epoch = $4 FOR SHARE",
        "SELECT $1, $2 FROM fence WHERE log = $3 AND epoch = $4",
    ),
    Planted(
        "the row of the epoch not locked by an append to a stream",
        "fence.py",
        "SELECT $3, $4, $5 FROM fence WHERE log = $3 AND epoch = $4 FOR SHARE",
        "SELECT $3, $4, $5 FROM fence WHERE log = $3 AND epoch = $4",
    ),
    Planted(
        "a leadership not given up",
        "leadership.py",
        "        if self.epoch:\n            self._session.run(end)",
        "        pass",
    ),
    # sharing
    Planted(
        "a removed log taken for one that was lost",
        "leadership.py",
        "if row is None and is_removed(self._log, connection):",
        "if False:",
    ),
    Planted(
        "a deleted vhost's log kept",
        "sharing.py",
        "            if log in logs and logs[log].removed and",
        "            if False and",
    ),
    Planted(
        "a deleted vhost's log not marked",
        "database_definitions.py",
        "            self._change(_REMOVE_LOG, (to_text(name),))\n",
        "            pass\n",
    ),
    Planted(
        "a deleted vhost's files kept",
        "vhost_logs.py",
        "for first in range(0, len(drops), _FILES_AT_ONCE):",
        "for first in range(0):",
    ),
    Planted(
        "a deleted vhost's objects kept",
        "vhost_logs.py",
        "for table in _TABLES\n",
        "for table in _TABLES[1:] if table != 'queue'\n",
    ),
    Planted(
        "objects of all logs read",
        "database_definitions.py",
        "log_name=self._log if kind in OBJECTS else None",
        "log_name=None",
    ),
    Planted(
        "own changes kept that another broker has undone",
        "own_changes.py",
        "            elif changed_in < epoch:",
        "            elif False:",
    ),
    Planted(
        "vhosts not handed over",
        "sharing.py",
        "self._server.hand_over(vhost.name, self._leaderships.held[vhost.name], processes[successor])",
        "pass",
    ),
    Planted(
        "a vhost that is closed not released",
        "vhost_serving.py",
        "        self._released.put(Released(name, opened.epoch, successor))",
        "        pass",
    ),
    Planted(
        "a vhost that cannot be opened not released",
        "vhost_serving.py",
        "            self._released.put(Released(wanted.name, epoch))",
        "            pass",
    ),
    Planted(
        "what was not written taken for written",
        "vhost_serving.py",
        "            definitions.sync()\n            streams.write()",
        "            streams.write()",
    ),
)


def _check_epoch(session: Backend, names: tuple[str, ...], values: Any) -> Result:
    """Check an epoch without a lock."""
    log, epoch = values
    if session.open_transaction.rows("fence").get(log) != (epoch,):
        raise ServerError(DIVISION)
    return FOUND


def _insert_unlocked(session: Backend, names: tuple[str, ...], values: Any) -> Result:
    """Insert a row of a file after a check of the epoch without a lock."""
    start, data, log, epoch, *number = values
    if session.open_transaction.rows("fence").get(log) != (epoch,):
        return NOTHING
    if number:
        session.lock(("proof", log))
    insert_part(session, names, (start, data))
    if number:
        number_write(session, names, (log, epoch, *number))
    return Result([], 1)


#: Statements of these faults.
_FAULTY: Final[dict[str, Function]] = {
    "INSERT INTO fence (log, epoch) VALUES (%(log)s, %(seen)s + 1) ON CONFLICT (log)"
    " DO UPDATE SET epoch = greatest(fence.epoch, %(seen)s) RETURNING epoch": lambda session, names, values: set_epoch(
        session, values, 0
    ),
    "SELECT 1 / count(*) FROM (SELECT 1 FROM fence WHERE log = %s AND epoch = %s) AS held": _check_epoch,
    fence._INSERT.replace(" FOR SHARE", ""): _insert_unlocked,
    fence._INSERT_NUMBERED.replace(" FOR SHARE", ""): _insert_unlocked,
}


@contextmanager
def planted(fault: Planted) -> Iterator[None]:
    """Plant a fault into the imported modules meanwhile."""
    path, source = changed(fault)
    module = sys.modules[_name(path)]
    fresh = ModuleType(module.__name__)
    exec(compile(source, path, "exec"), vars(fresh))
    with ExitStack() as undone, patch.dict(STATEMENTS, _FAULTY):
        for old, new in _functions(module, fresh):
            undone.callback(setattr, old, "__code__", old.__code__)
            old.__code__ = new.__code__
        for name, text in vars(fresh).items():
            if isinstance(text, str) and text != vars(module).get(name):
                undone.enter_context(patch.object(module, name, text))
        yield


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def _functions(old: Any, new: Any) -> Iterator[tuple[FunctionType, FunctionType]]:
    """Yield each function of a module, and the one of its copy."""
    for name, value in vars(old).items():
        other = vars(new).get(name)
        if isinstance(value, FunctionType) and isinstance(other, FunctionType):
            if value.__code__.co_filename == other.__code__.co_filename:
                yield value, other
        elif (
            isinstance(value, type) and isinstance(other, type) and value.__module__ == other.__module__ == _module(old)
        ):
            yield from _functions(value, other)


def _module(of: Any) -> str:
    return str(of.__name__ if isinstance(of, ModuleType) else of.__module__)
