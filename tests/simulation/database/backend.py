"""A session of the simulated engine: it executes requests in order, with the locks and the transaction that it has."""

from collections import deque
from collections.abc import Hashable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from tests.simulation.database.transaction import BlockedError, Row, ServerError, Transaction

if TYPE_CHECKING:
    from tests.simulation.database.server import Server

#: Error of a session that an administrator or the stop of the server ends.
SHUTDOWN = "57P01"


class Result(NamedTuple):
    """The rows of a statement, and the number of rows that it has changed."""

    rows: list[Row] = []
    changed: int = 0


#: The result of statements that return nothing.
NOTHING: Final = Result()


class Statement(NamedTuple):
    """A statement of a request. text: with {} for each name. binary: not relevant here."""

    text: str
    names: tuple[str, ...]
    values: Any


class Client(Protocol):
    """The other end of a session's connection."""

    def answered(self, results: list[Result], error: ServerError | None) -> None:
        """Receive the results of a request, up to the statement that has failed, and its error."""

    def is_late(self) -> None:
        """Notice that the answer has to wait."""

    def broken(self, error: ServerError | None) -> None:
        """Notice that the server has ended the connection, after this error."""


class Backend:
    """One session. transaction: the open one, also of a single statement. idle_since: time of the last answer."""

    def __init__(self, server: "Server", name: str, client: Client) -> None:
        self.server = server
        self.name = name
        self.transaction: Transaction | None = None
        self.idle_since = server.scheduler.now
        self.has_ended = False
        self.waits_for_standby = False
        self._client = client
        self._advisory: set[Hashable] = set()
        self._requests: deque[list[Statement]] = deque()
        self._request: list[Statement] | None = None
        self._results: list[Result] = []
        self._hung_up = False
        self._stalled = False

    # --- requests -----------------------------------------------------------------------------------------------------

    def receive(self, statements: list[Statement]) -> None:
        """Execute a request after those before it, and answer it."""
        self._requests.append(statements)
        if self._request is None:
            self._run()

    def hang_up(self) -> None:
        """End the session after its requests: the client has closed the connection."""
        self._hung_up = True
        if self._request is None:
            self._run()

    def go_on(self) -> None:
        """Execute the statement that has waited."""
        if self._request is not None and not self.has_ended:
            self._run()

    def _run(self) -> None:
        while not self.has_ended:
            if self._request is None:
                if not self._requests:
                    if self._hung_up:
                        self.end()
                    return
                self._request, self._results = self._requests.popleft(), []
            error = None
            request, results = self._request, self._results
            while len(results) < len(request):
                if results and self._is_stalled(single=False):
                    return
                try:
                    results.append(self._execute(request[len(results)]))
                except BlockedError:
                    self._client.is_late()
                    return
                except ServerError as failed:
                    error = failed
                    break
                if self.has_ended:
                    return
            self._request = None
            self.idle_since = self.server.scheduler.now
            self._client.answered(self._results, error)

    def _is_stalled(self, single: bool) -> bool:
        """Return whether the server is slow between two statements, or before the commit of a single one.

        Then it goes on by itself.
        """
        if self._stalled:
            self._stalled = False
            return False
        delay = self.server.stall_ns(self.name, single)
        if not delay:
            return False
        self._stalled = True
        self.server.scheduler.after(delay, self.go_on)
        self._client.is_late()
        return True

    def _execute(self, statement: Statement) -> Result:
        function = self.server.statements.get(statement.text)
        if function is None:
            raise UnknownStatementError(statement.text)
        transaction = self.transaction
        if transaction is None:
            if function in self.server.readers:
                self.transaction = self.server.reader
                try:
                    return function(self, statement.names, statement.values)
                finally:
                    self.transaction = None
            self.transaction = transaction = Transaction(self.server.tables, explicit=False)
        elif transaction.failed and statement.text not in ("ROLLBACK", "COMMIT"):
            raise ServerError("25P02")
        try:
            result = transaction.result
            if result is None:
                result = function(self, statement.names, statement.values)
            if not transaction.explicit and self.transaction is transaction:
                # Its locks are held meanwhile, and a statement that waits for its commit is not executed again.
                transaction.result = result
                if transaction.wrote and not transaction.position and self._is_stalled(single=True):
                    raise BlockedError
                self.commit()
        except ServerError:
            transaction.failed = True
            if not transaction.explicit:
                self.roll_back()
            raise
        return result

    # --- transactions -------------------------------------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Return whether a request waits for something."""
        return self._request is not None

    @property
    def open_transaction(self) -> Transaction:
        """Return the transaction of the present statement."""
        assert self.transaction is not None
        return self.transaction

    def lock(self, key: Hashable, shared: bool = False) -> None:
        """Lock a row until the end of the transaction. Raises BlockedError while another transaction has it."""
        if not self.lock_if_free(key, shared):
            self.server.locks.wait(key, self)
            raise BlockedError

    def lock_if_free(self, key: Hashable, shared: bool = False) -> bool:
        """Lock a row until the end of the transaction, unless another one has it; return whether it is locked."""
        transaction = self.open_transaction
        if not self.server.locks.try_take(key, self, shared):
            return False
        transaction.locks.append(key)
        transaction.wrote = True
        return True

    def commit(self) -> None:
        """Commit the transaction. Raises BlockedError until a standby has it, ServerError."""
        transaction = self.transaction
        if transaction is None or transaction.failed or not transaction.wrote:
            self.roll_back()
            return
        if not transaction.position:
            fault = self.server.commit_fault(self.name)
            if fault == "refused":
                self.terminate(SHUTDOWN)
                return
            if fault == "full":
                self.roll_back()
                raise ServerError("53100")
            transaction.position = self.server.append(transaction)
            if fault == "lost":
                self.server.show(transaction)
                self._release()
                self.terminate(SHUTDOWN)
                return
        if not transaction.local and not self.server.is_safe(transaction.position):
            if not self.waits_for_standby:
                self.waits_for_standby = True
                self.server.wait_for_standby(self)
            raise BlockedError
        self.waits_for_standby = False
        self.server.show(transaction)
        self._release()

    def roll_back(self) -> None:
        self._release()

    def _release(self) -> None:
        transaction, self.transaction = self.transaction, None
        if transaction is not None and transaction.locks:
            for key in transaction.locks:
                self._wake(key)

    # --- advisory locks -----------------------------------------------------------------------------------------------

    def try_lock_session(self, key: Hashable) -> bool:
        if not self.server.locks.try_take(key, self):
            return False
        self._advisory.add(key)
        return True

    def unlock_session(self, key: Hashable) -> None:
        self._advisory.discard(key)
        self._wake(key)

    def _wake(self, key: Hashable) -> None:
        for waiting in self.server.locks.release(key, self):
            self.server.scheduler.after(0, waiting.go_on)

    # --- the end ------------------------------------------------------------------------------------------------------

    def terminate(self, code: str) -> None:
        """End the session with an error, which the client reads with its next call."""
        if not self.has_ended:
            self.end()
            self._client.broken(ServerError(code, fatal=True))

    def end(self) -> None:
        """Roll back, unless the commit waits only for a standby; release all locks."""
        self.has_ended = True
        transaction = self.transaction
        if transaction is not None and transaction.position:
            self.server.show(transaction)
        self.server.leave(self)
        self._release()
        for key in sorted(self._advisory, key=str):
            self._wake(key)

    def crash(self, silent: bool) -> None:
        """End with the server. silent: the client is not told."""
        self.has_ended = True
        if not silent:
            self.server.scheduler.after(0, partial(self._client.broken, None))


class UnknownStatementError(Exception):
    """The simulated engine does not know a statement; add it to its table."""
