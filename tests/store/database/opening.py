"""The objects of a store in a database, as the server makes them."""

import itertools
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from amqpbroker.cluster.leadership.leadership import Leader, Leadership, session_name
from amqpbroker.store.database import schema
from amqpbroker.store.database.database_definitions import DatabaseDefinitions
from amqpbroker.store.database.database_files import DatabaseFiles
from amqpbroker.store.database.fence import LOG, ROWS_AT_ONCE, Fence, Statement
from amqpbroker.store.database.repeated import Repeated
from amqpbroker.store.database.session import Session, TimedConnection


class FaultyFence(Fence):
    """refuses: error of the next write, which does not happen. loses: error of the next write, which happens.

    later: number of writes before the one with the error. insertions: number of writes that were a single statement.
    """

    later = 0
    refuses: OSError | None = None
    loses: OSError | None = None
    insertions = 0

    def write(
        self,
        statements: Sequence[Statement],
        proof: Statement | None = None,
        also: Callable[[TimedConnection], Sequence[Statement]] | None = None,
        numbered: bool = False,
    ) -> None:
        with self._faulty():
            super().write(statements, proof, also, numbered)

    def insert(self, statement: Repeated, start: int, data: bytes, proof: Statement | None) -> None:
        with self._faulty():
            self.insertions += 1
            super().insert(statement, start, data, proof)

    def insert_row(self, statement: Repeated, start: int, data: bytes) -> None:
        with self._faulty():
            self.insertions += 1
            super().insert_row(statement, start, data)

    @contextmanager
    def _faulty(self) -> Iterator[None]:
        if (self.refuses or self.loses) is not None and self.later:
            self.later -= 1
            yield
            return
        if self.refuses is not None:
            refused, self.refuses = self.refuses, None
            raise refused
        yield
        lost, self.loses = self.loses, None
        if lost is not None:
            raise lost


class Opened:
    """The store of a broker that has just taken over, until `close`."""

    def __init__(self, url: str, lease_s: float = 0.0) -> None:
        """lease_s: without a duration, another broker can take over at once."""
        self._open = ExitStack()
        process = secrets.token_hex(4)
        # The only session that a takeover ends, so that the others show what is refused.
        self.lease = self.session(url, session_name(process, "lease"))
        schema.make_tables(self.lease)
        self.leadership = Leadership(
            self.lease, LOG, Leader("broker", "127.0.0.1:5672", process), lease_s, partial(next, itertools.count())
        )
        while not self.leadership.try_take():
            time.sleep(0.01)
        uses = ["writing", *[f"writing {number}" for number in range(1, ROWS_AT_ONCE)]]
        self.writing = [self.session(url, use) for use in uses]
        first, *beside = self.writing
        self.fence = FaultyFence(first, LOG, self.leadership.epoch, beside=beside)
        self.reading = self.session(url, "reading")
        removal = Fence(self.session(url, "removal"), LOG, self.leadership.epoch, proves=False)
        self.files = DatabaseFiles(LOG, self.reading, self.fence, removal)
        self.definitions = DatabaseDefinitions(LOG, self.reading, self.fence)

    def session(self, url: str, use: str) -> Session:
        made = Session(url, use, 10)
        self._open.callback(made.close)
        return made

    def end_session(self, use: str = "writing") -> None:
        """End the connection of a session, as the server can, and wait for its end."""
        ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s"
        self.reading.run(lambda connection: connection.execute(ended, [use]))

    def close(self) -> None:
        self._open.close()
