"""A primary server of the simulated engine: its tables, locks and sessions."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.simulation.database.backend import SHUTDOWN, Backend, Client, Result
from tests.simulation.database.locks import Locks
from tests.simulation.database.skipping import Skipping
from tests.simulation.database.transaction import Tables, Transaction
from tests.simulation.scheduler import SECOND

if TYPE_CHECKING:
    from tests.simulation.database.cluster import Cluster

#: Executes one statement: session, names, values -> result.
Function = Callable[[Backend, tuple[str, ...], Any], Result]

#: Time after which a session is ended that is idle in a transaction, as the product sets it.
IDLE_NS = 5 * SECOND


class Server:
    """One primary, until it crashes. tables: the committed ones that all sessions see. skew_ns: of its clock.

    is_silent: it has crashed with its machine, so that nothing answers.
    """

    def __init__(
        self,
        cluster: "Cluster",
        scheduler: Skipping,
        statements: dict[str, Function],
        readers: frozenset[Function],
        tables: Tables,
        skew_ns: int,
    ) -> None:
        self.scheduler = scheduler
        self.statements = statements
        self.readers = readers
        self.tables = tables
        #: The transaction of single statements that only read.
        self.reader = Transaction(tables, explicit=False)
        self.locks = Locks()
        self.backends: list[Backend] = []
        self.is_silent = False
        self._cluster = cluster
        self._skew_ns = skew_ns
        #: Sessions whose commits wait for a standby, in the order of the log.
        self._waiting: list[Backend] = []

    @property
    def clock_ns(self) -> int:
        return self.scheduler.now + self._skew_ns

    @property
    def is_synchronous(self) -> bool:
        return self._cluster.is_synchronous

    def connect(self, name: str, client: Client) -> Backend:
        backend = Backend(self, name, client)
        self.backends.append(backend)
        return backend

    def next_number(self) -> int:
        """Return the next value of the sequence of logs, which no rollback and no failover returns."""
        return self._cluster.next_number()

    # --- commits ------------------------------------------------------------------------------------------------------

    def commit_fault(self, name: str) -> str:
        return self._cluster.commit_fault(name)

    def append(self, transaction: Transaction) -> int:
        """Write a commit to the log; return its position."""
        return self._cluster.append(transaction.changes)

    def stall_ns(self, name: str, single: bool) -> int:
        return self._cluster.stall_ns(name, single)

    def is_safe(self, position: int) -> bool:
        return self._cluster.is_safe(position)

    def wait_for_standby(self, backend: Backend) -> None:
        self._waiting.append(backend)

    def show(self, transaction: Transaction) -> None:
        """Make a commit visible."""
        transaction.changes.apply(self.tables)

    def received(self) -> None:
        """Continue the commits that a standby has received."""
        while self._waiting:
            backend = self._waiting[0]
            transaction = backend.transaction
            if transaction is not None and not self.is_safe(transaction.position):
                return
            self._waiting.pop(0)
            backend.go_on()

    # --- sessions -----------------------------------------------------------------------------------------------------

    def terminate(self, prefix: str, but: Backend) -> None:
        """End the sessions whose names begin with `prefix`, soon."""
        self._cluster.on_terminate(but.name, prefix)
        for backend in self.backends:
            if backend is not but and backend.name.startswith(prefix):
                self.scheduler.after(self._cluster.signal_ns(), partial(backend.terminate, SHUTDOWN))

    def terminate_named(self, name: str, but: Backend) -> int:
        """End the other sessions with this name, soon; return their number."""
        found = [backend for backend in self.backends if backend is not but and backend.name == name]
        for backend in found:
            self.scheduler.after(self._cluster.signal_ns(), partial(backend.terminate, SHUTDOWN))
        return len(found)

    def end_idle(self) -> list[str]:
        """End sessions that were idle in a transaction for too long; return their names."""
        ended = []
        for backend in list(self.backends):
            transaction = backend.transaction
            is_idle = transaction is not None and transaction.explicit and not backend.is_busy
            if is_idle and self.scheduler.now - backend.idle_since >= IDLE_NS:
                backend.terminate("25P03")
                ended.append(backend.name)
        return ended

    def leave(self, backend: Backend) -> None:
        """Forget a session that has ended."""
        self.backends.remove(backend)
        if backend in self._waiting:
            self._waiting.remove(backend)
        if backend.is_busy:
            self.locks.leave(backend)

    def crash(self, silent: bool) -> None:
        """End all sessions. silent: their clients are not told."""
        self.is_silent = silent
        for backend in self.backends:
            backend.crash(silent)
        self.backends = []
        self._waiting = []
