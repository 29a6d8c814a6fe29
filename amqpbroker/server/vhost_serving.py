"""Serves the vhosts of a database that this broker leads, while leaderships come and go."""

import asyncio
import errno
import logging
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple, final

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.storage import Storage
from amqpbroker.clock import Clock
from amqpbroker.config import Config
from amqpbroker.server.data import MakeCommitter
from amqpbroker.store.database.database_definitions import DatabaseDefinitions
from amqpbroker.store.database.fence import LOG
from amqpbroker.store.database.session import TimedConnection
from amqpbroker.store.database.sessions import Sessions
from amqpbroker.store.database.sharing import VhostServer
from amqpbroker.store.database.storage import DatabaseStorage
from amqpbroker.store.database.vhost_logs import GLOBAL, VhostLog, reconcile, remove_log
from amqpbroker.store.journal.journal import Journal
from amqpbroker.store.log import FencedError, StoreError
from amqpbroker.store.persistence import Persistence
from amqpbroker.store.recovered import Recovered
from amqpbroker.store.streams.streams import Streams

log = logging.getLogger(__name__)

#: Vhosts that are read or closed at a time.
_WORKERS: Final = 4
#: Interval at which is looked which vhosts have clients.
_BUSY_S: Final = 0.25
#: Time for a new vhost's definition to be followed, and for the last operations of a vhost to be written.
_KNOWN_S: Final = 5.0
_WRITTEN_S: Final = 5.0
_LOOK_S: Final = 0.02


#: Told of a store that cannot write, and with None when all can again.
OnStuck = Callable[[OSError | None], None]


def _ignore(_: object) -> None:
    pass


class _Opened(NamedTuple):
    """A vhost that is served. storage: of the broker. database: where it is stored."""

    vhost: str
    storage: Storage
    database: DatabaseStorage


@final
class VhostServing(VhostServer):
    """Opens vhosts of a broker, and closes them. Calls that concern one vhost take effect in their order."""

    def __init__(
        self,
        config: Config,
        loop: asyncio.AbstractEventLoop,
        broker: Broker,
        clock: Clock,
        committer: MakeCommitter,
        on_gathered: Callable[[], None],
        sessions: Sessions,
        lead_definitions: Callable[[DatabaseDefinitions | None], None] = _ignore,
        on_stuck: OnStuck = _ignore,
    ) -> None:
        """clock: of the stores. on_gathered: called when a store has something to write at the end of an iteration.

        sessions: of this broker, connected. lead_definitions: called with the definitions that this broker
        writes for all, and with None when it does not any longer. on_stuck: called when the first of the stores cannot
        write, and with None when all can again.
        """
        self._config = config
        self._loop = loop
        self._broker = broker
        self._clock = clock
        self._committer = committer
        self._on_gathered = on_gathered
        self._sessions = sessions
        self._lead_definitions = lead_definitions
        self._on_stuck = on_stuck
        self._stuck: set[str] = set()
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="vhost")
        self._opened: dict[str, _Opened] = {}
        #: The last operation on each log that is not done.
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._released: SimpleQueue[tuple[str, str]] = SimpleQueue()
        self._busy: tuple[str, ...] = ()
        self._looking: asyncio.TimerHandle | None = None
        #: Logs to follow.
        self.followed: tuple[str, ...] = ()

    # --- calls on the thread of the sharing ---------------------------------------------------------------------------

    def serve(self, log: VhostLog, epoch: int) -> None:
        self._loop.call_soon_threadsafe(self._operate, log.name, partial(self._serve, log, epoch))

    def remove(self, log: VhostLog, epoch: int) -> None:
        self._loop.call_soon_threadsafe(self._operate, log.name, partial(self._remove, log, epoch))

    def lose(self, log: str, error: OSError) -> None:
        self._loop.call_soon_threadsafe(self._operate, log, partial(self._close, log, error))

    def hand_over(self, log: str, successor: str) -> None:
        self._loop.call_soon_threadsafe(self._operate, log, partial(self._close, log, None, successor))

    def follow(self, logs: Sequence[str]) -> None:
        self.followed = tuple(logs)

    def busy(self) -> Sequence[str]:
        return self._busy

    def released(self) -> tuple[str, str] | None:
        """Return a log whose leadership is to be released, and the process of its successor; None if there is none."""
        try:
            return self._released.get_nowait()
        except Empty:
            return None

    # --- start and end ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._see_clients()

    def _see_clients(self) -> None:
        served = {session.vhost.name for session in self._broker.sessions}
        # The definitions have no clients of their own, and stay where they are.
        busy = [name for name, opened in self._opened.items() if opened.vhost in served or name == LOG]
        self._busy = tuple(busy)
        self._looking = self._loop.call_later(_BUSY_S, self._see_clients)

    async def close(self) -> None:
        """Write what is left of all vhosts, and serve none of them any longer."""
        if self._looking is not None:
            self._looking.cancel()
        for name in {*self._opened, *self._operations}:
            self._operate(name, partial(self._close, name, None, ""))
        while self._operations:
            await asyncio.wait(list(self._operations.values()))
        self._workers.shutdown()

    # --- operations ---------------------------------------------------------------------------------------------------

    def _operate(self, name: str, operation: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run an operation after the last one on the same log."""
        task = self._loop.create_task(_after(self._operations.get(name), operation))
        self._operations[name] = task
        task.add_done_callback(partial(self._done, name))

    def _done(self, name: str, task: "asyncio.Task[None]") -> None:
        if self._operations.get(name) is task:
            del self._operations[name]
        if not task.cancelled() and task.exception() is not None:
            log.critical("internal error with the log %s of a vhost", name, exc_info=task.exception())

    async def _serve(self, wanted: VhostLog, epoch: int) -> None:
        database = DatabaseStorage(self._sessions, epoch, wanted.name)
        try:
            journal, found = await self._run(partial(self._recovered, database))
            await self._open(wanted, database, journal, found)
        except (OSError, StoreError) as error:
            log.error("vhost '%s' cannot be served: %s; any broker may try again", wanted.vhost, error)  # noqa: TRY400
            self._released.put((wanted.name, ""))
        finally:
            if wanted.name not in self._opened:
                await self._run(database.close)

    def _recovered(self, database: DatabaseStorage) -> tuple[Journal, Recovered]:
        """Read a journal and its definitions, on a worker. Raises OSError, StoreError."""
        database.open()
        journal = Journal(Path("/journal"), database.files, self._config.bounds.segment_bytes, name=database.log)
        found = journal.recover()
        if database.log == LOG:
            reconcile(database.fence)
        database.definitions.read()
        database.recovered()
        return journal, found

    async def _open(self, wanted: VhostLog, database: DatabaseStorage, journal: Journal, found: Recovered) -> None:
        """Raises StoreError."""
        broker, config, definitions, files = self._broker, self._config, database.definitions, database.files
        end = self._loop.time() + _KNOWN_S
        definition = None
        # An earlier vhost of the same name is closed when its deletion is known here.
        while wanted != GLOBAL and (
            (definition := broker.defined_vhosts.get(wanted.vhost)) is None or wanted.vhost in broker.vhosts
        ):
            if self._loop.time() > end:
                raise StoreError("its definition is not there, or an earlier vhost of its name is still served")
            await asyncio.sleep(_LOOK_S)
        streams = Streams(Path("/streams"), files, config.bounds.stream_cache_bytes, synced=False)

        def before_batch() -> None:
            definitions.sync()
            streams.write()
            files.flush()

        store = Persistence(
            journal,
            self._committer(journal, before_batch),
            partial(self._failed, wanted.name),
            self._clock,
            config.durability != "none",
            config.bounds,
            streams,
            gathers_definitions=True,
        )
        definitions.watch(store.definitions_changed)
        store.drive(self._on_gathered)
        store.watch_disk(partial(self._set_stuck, wanted.name))
        storage = Storage(store, definitions, config.compat.extensions)
        if definition is None:
            broker.storages.append(storage)
            self._lead_definitions(definitions)
            log.info("this broker writes the definitions of all vhosts")
        else:
            count = broker.open_vhost(definition, storage, found)
            log.info("this broker serves vhost '%s', with %d messages", wanted.vhost, count)
        definitions.discard_read()
        self._opened[wanted.name] = _Opened(wanted.vhost, storage, database)

    def _set_stuck(self, name: str, error: OSError | None) -> None:
        """Record that a store cannot write, or can again. An error is reported until all can."""
        were = bool(self._stuck)
        (self._stuck.discard if error is None else self._stuck.add)(name)
        if bool(self._stuck) is not were:
            self._on_stuck(error)

    def _failed(self, name: str, error: Exception) -> None:
        """Handle the failure of a store, which can write nothing any more."""
        lost = error if isinstance(error, OSError) else OSError(str(error))
        self._operate(name, partial(self._close, name, lost))

    def reopen(self, vhost: str) -> None:
        """Release a vhost whose deletion was undone, if it is no longer in memory, so that any broker serves it."""
        undone = OSError(errno.ESTALE, "it was not deleted, since another broker writes the definitions now")
        for name, opened in self._opened.items():
            if opened.vhost == vhost and opened.storage.is_closed:
                self._operate(name, partial(self._close, name, undone))

    async def _remove(self, removed: VhostLog, epoch: int) -> None:
        opened = self._opened.pop(removed.name, None)
        if opened is not None:
            await self._end(opened, OSError("the vhost is deleted"))
        database = DatabaseStorage(self._sessions, epoch, removed.name)
        try:
            await self._run(partial(_remove_stored, removed, database))
            log.info("the stored data of the deleted vhost '%s' is removed", removed.vhost)
        except (OSError, StoreError) as error:
            log.error("the stored data of the deleted vhost '%s' cannot be removed yet: %s", removed.vhost, error)  # noqa: TRY400
            self._released.put((removed.name, ""))
        finally:
            await self._run(database.close)

    async def _close(self, name: str, error: OSError | None, successor: str = "") -> None:
        """Serve a vhost no longer. error: why nothing may be written, None to write what is left, and to release it."""
        opened = self._opened.pop(name, None)
        if opened is None:
            return
        if error is not None:
            log.critical("vhost '%s': %s; its connections are closed", opened.vhost, error.strerror or error)
        await self._end(opened, error)
        if not isinstance(error, FencedError):
            self._released.put((name, successor))

    async def _end(self, opened: _Opened, error: OSError | None) -> None:
        """Serve a vhost no longer. error: why nothing may be written, None to write what is left."""
        vhost, storage, database = opened
        store = storage.store
        assert isinstance(store, Persistence)
        if error is not None:
            store.writer.fail(error)
        if database.log == LOG:
            self._lead_definitions(None)
        elif (served := self._broker.vhosts.get(vhost)) is not None and served.storage is storage:
            self._broker.close_vhost(vhost)
        end = self._loop.time() + _WRITTEN_S
        while error is None and store.synced < store.appended and self._loop.time() < end:
            store.sync()
            await asyncio.sleep(_LOOK_S)
        try:
            await self._run(store.close)
        except StoreError as failure:
            log.error("vhost '%s': %s", vhost, failure)  # noqa: TRY400
        await self._run(database.close)
        self._set_stuck(database.log, None)
        if database.log == LOG:
            self._broker.storages.remove(storage)

    async def _run(self, task: Callable[[], Any]) -> Any:
        return await self._loop.run_in_executor(self._workers, task)


async def _after(before: "asyncio.Task[None] | None", operation: Callable[[], Coroutine[Any, Any, None]]) -> None:
    if before is not None:
        await asyncio.wait([before])
    await operation()


def _remove_stored(removed: VhostLog, database: DatabaseStorage) -> None:
    """Remove what a deleted vhost has stored, on a worker. Raises OSError, StoreError."""
    database.open()

    def remove(connection: TimedConnection) -> None:
        remove_log(removed, connection, database.fence)

    database.read(remove)
