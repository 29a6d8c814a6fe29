"""Serves the vhosts of a database that this broker leads, while leaderships come and go."""

import asyncio
import errno
import logging
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple, final

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.storage import Storage
from amqpbroker.clock import Clock
from amqpbroker.cluster.database_storage import DatabaseStorage, is_synchronous
from amqpbroker.cluster.following.vhost_followers import Followed
from amqpbroker.cluster.leadership.sessions import Sessions
from amqpbroker.cluster.placement.sharing import VhostServer
from amqpbroker.cluster.vhost_following import VhostFollowing
from amqpbroker.cluster.vhost_recovery import Read, recovered
from amqpbroker.config import Config
from amqpbroker.server.data import MakeCommitter
from amqpbroker.server.log import in_one_line
from amqpbroker.store.database.database_definitions import DatabaseDefinitions
from amqpbroker.store.database.fence import LOG
from amqpbroker.store.database.session import TimedConnection
from amqpbroker.store.database.vhost_logs import GLOBAL, VhostLog, remove_log
from amqpbroker.store.log import FencedError, StoreError, UnwrittenError
from amqpbroker.store.persistence import Persistence

log = logging.getLogger(__name__)

#: Vhosts that are read or closed at a time.
_WORKERS: Final = 4
#: Interval at which is looked which vhosts have clients.
_BUSY_S: Final = 0.25
#: Time for a new vhost's definition to be followed, or for a connection, and for the last operations to be written.
_KNOWN_S: Final = 5.0
_WRITTEN_S: Final = 5.0
#: Time for the deletion of a vhost to be followed.
_DELETED_S: Final = 1.0
_LOOK_S: Final = 0.02
#: Time to wait for the journal that this broker has followed; then the vhost's messages are read instead.
_FOLLOWED_S: Final = 3.0
#: Attempts to read a vhost's messages, or to remove them, while the database fails, and the time between two.
_ATTEMPTS: Final = 20
_AGAIN_S: Final = 1.0


#: Called with the error of a store that cannot write, and with None when all can again.
OnStuck = Callable[[OSError | None], None]


def _ignore(_: object) -> None:
    pass


class Released(NamedTuple):
    """A leadership that is to be released. epoch: a later one is not meant. successor: process of a broker, or ""."""

    log: str
    epoch: int
    successor: str = ""


class _Opened(NamedTuple):
    """A vhost that is served, in this epoch. storage: of the broker. database: where it is stored."""

    vhost: str
    epoch: int
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
        following: VhostFollowing,
        lead_definitions: Callable[[DatabaseDefinitions | None], None] = _ignore,
        on_stuck: OnStuck = _ignore,
        on_served: Callable[[str], None] = _ignore,
    ) -> None:
        """clock: of the stores. on_gathered: called when a store has something to write at the end of an iteration.

        sessions: of this broker, connected. following: for this object, which starts and closes it.
        lead_definitions: called with the definitions that this broker writes for all, and with None when it no longer
        does. on_stuck: called when the first of the stores cannot write, and with None when all can again.
        on_served: called with each vhost from whose opening on clients are served.
        """
        self._config = config
        self._loop = loop
        self._broker = broker
        self._clock = clock
        self._committer = committer
        self._on_gathered = on_gathered
        self._sessions = sessions
        self._following = following
        self._lead_definitions = lead_definitions
        self._on_stuck = on_stuck
        self._on_served = on_served
        self._stuck: set[str] = set()
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="vhost")
        self._opened: dict[str, _Opened] = {}
        #: The last operation on each log that is not done.
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._released: SimpleQueue[Released] = SimpleQueue()
        self._busy: tuple[str, ...] = ()
        self._looking: asyncio.TimerHandle | None = None
        #: It serves no further vhost.
        self._ends: bool = False

    # --- calls on the thread of the sharing ---------------------------------------------------------------------------

    def serve(self, log: VhostLog, epoch: int) -> None:
        if self._ends:
            self._released.put(Released(log.name, epoch))
            return
        followed = self._following.take(log.name, epoch)
        self._loop.call_soon_threadsafe(self._operate, log.name, epoch, partial(self._serve, log, epoch, followed))

    def remove(self, log: VhostLog, epoch: int) -> None:
        self._loop.call_soon_threadsafe(self._operate, log.name, epoch, partial(self._remove, log, epoch))

    def lose(self, log: str, epoch: int, error: OSError) -> None:
        self._loop.call_soon_threadsafe(self._operate, log, epoch, partial(self._close, log, epoch, error))

    def hand_over(self, log: str, epoch: int, successor: str) -> None:
        self._loop.call_soon_threadsafe(self._operate, log, epoch, partial(self._close, log, epoch, None, successor))

    def check(self, connection: TimedConnection) -> None:
        for name, opened in self._opened.copy().items():
            if opened.database.fence.may_lack(connection):
                self._loop.call_soon_threadsafe(self._suspect, name)

    def follow(self, logs: Sequence[str]) -> None:
        self._following.follow(logs)

    def has_followed(self, log: str) -> bool:
        return self._following.has_followed(log)

    def busy(self) -> Sequence[str]:
        return self._busy

    def serves(self, log: str) -> bool:
        return log in self._opened

    def released(self) -> Released | None:
        """Return a leadership that is to be released, None if there is none."""
        try:
            return self._released.get_nowait()
        except Empty:
            return None

    # --- start and end ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._following.start()
        self._see_clients()

    def _see_clients(self) -> None:
        served = {session.vhost.name for session in self._broker.sessions}
        # The definitions have no clients of their own, and stay where they are.
        busy = [name for name, opened in self._opened.items() if opened.vhost in served or name == LOG]
        self._busy = tuple(busy)
        self._looking = self._loop.call_later(_BUSY_S, self._see_clients)

    async def close(self) -> None:
        """Write what is left of all vhosts, and serve none of them any longer."""
        self._ends = True
        if self._looking is not None:
            self._looking.cancel()
        for name in {*self._opened, *self._operations}:
            self._operate(name, self._epoch_of(name), partial(self._close, name, None, None))
        while self._operations:
            await asyncio.wait(list(self._operations.values()))
        await asyncio.to_thread(self._following.close)
        self._workers.shutdown()

    # --- operations ---------------------------------------------------------------------------------------------------

    def _operate(self, name: str, epoch: int, operation: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run an operation after the last one on the same log. epoch: of the leadership that it needs or ends."""
        task = self._loop.create_task(_after(self._operations.get(name), operation))
        self._operations[name] = task
        task.add_done_callback(partial(self._done, name, epoch))

    def _is_last_operation(self, name: str) -> bool:
        """Return whether no later operation waits for the one that calls this."""
        return self._operations.get(name) is asyncio.current_task()

    def _epoch_of(self, name: str) -> int:
        """Return the epoch in which a log is served, 0 if it is not."""
        return self._opened[name].epoch if name in self._opened else 0

    def _done(self, name: str, epoch: int, task: "asyncio.Task[None]") -> None:
        if self._operations.get(name) is task:
            del self._operations[name]
        if not task.cancelled() and task.exception() is not None:
            log.critical("internal error with the log %s of a vhost", name, exc_info=task.exception())
            if name not in self._opened:
                # Another broker may serve it.
                self._released.put(Released(name, epoch))

    async def _serve(self, wanted: VhostLog, epoch: int, following: "Future[Followed]") -> None:
        try:
            database, read = await self._read(wanted, epoch, await _in_time(following))
            try:
                await self._reconnect()
                await self._open(wanted, epoch, database, read)
            finally:
                if wanted.name not in self._opened:
                    await self._run(database.close)
        except (OSError, StoreError) as error:
            log.error("vhost '%s' cannot be served: %s; any broker may try again", in_one_line(wanted.vhost), error)  # noqa: TRY400
            self._released.put(Released(wanted.name, epoch))

    async def _read(self, wanted: VhostLog, epoch: int, followed: Followed) -> tuple[DatabaseStorage, Read]:
        """Read a journal, again if the database has failed meanwhile, as when it fails together with a leader.

        Another broker would have to read all of it. Raises OSError, StoreError.
        """
        for left in reversed(range(_ATTEMPTS)):
            database = DatabaseStorage(self._sessions, epoch, wanted.name)
            try:
                return database, await self._run(partial(self._recovered, database, wanted.vhost, followed))
            except BaseException as error:
                await self._run(database.close)
                if not isinstance(error, UnwrittenError) or not left:
                    raise
                await asyncio.sleep(_AGAIN_S)
                if not self._is_last_operation(wanted.name):
                    # It is lost or handed over meanwhile.
                    raise
                log.warning("vhost '%s': %s; its messages are read again", in_one_line(wanted.vhost), error)
        raise AssertionError("the last attempt returns or raises")

    async def _reconnect(self) -> None:
        """Wait until the session by which all vhosts read has a connection, if it has lost it since it was used last.

        Otherwise a vhost with streams could not be opened after a failover of the database. Raises UnwrittenError.
        """
        end = self._loop.time() + _KNOWN_S
        while not self._is_connected(self._loop.time() > end):
            await asyncio.sleep(_LOOK_S)

    def _is_connected(self, required: bool) -> bool:
        """Return whether that session has a connection. Raises UnwrittenError if it has none and is required."""
        try:
            self._sessions.reading.run(is_synchronous)
        except UnwrittenError:
            if required:
                raise
            return False
        return True

    def _recovered(self, database: DatabaseStorage, vhost: str, followed: Followed) -> Read:
        """Read a journal, on a worker. Raises OSError, StoreError."""
        return recovered(database, vhost, followed, self._config.bounds, self._broker.clock)

    async def _open(self, wanted: VhostLog, epoch: int, database: DatabaseStorage, read: Read) -> None:
        """Raises StoreError."""
        journal, found, followed, streams = read
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

        def before_batch() -> None:
            definitions.sync()
            streams.write()
            files.flush()

        store = Persistence(
            journal,
            self._committer(journal, before_batch),
            partial(self._failed, wanted.name, epoch),
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
            broker.open_definitions(storage)
            self._lead_definitions(definitions)
            log.info("this broker writes the definitions of all vhosts")
        else:
            batches = found.batches
            count = broker.open_vhost(definition, storage, found)
            log.info(
                "this broker serves vhost '%s', with %d messages, and had followed %d of its %d batches",
                in_one_line(wanted.vhost), count, followed, batches,
            )  # fmt: skip
        definitions.discard_read()
        self._opened[wanted.name] = _Opened(wanted.vhost, epoch, storage, database)
        self._on_served(wanted.vhost)

    def _set_stuck(self, name: str, error: OSError | None) -> None:
        """Record that a store cannot write, or can again. An error is reported until all can."""
        were = bool(self._stuck)
        (self._stuck.discard if error is None else self._stuck.add)(name)
        if bool(self._stuck) is not were:
            self._on_stuck(error)

    def _failed(self, name: str, epoch: int, error: Exception) -> None:
        """Handle the failure of a store, which can write nothing any more."""
        lost = error if isinstance(error, OSError) else OSError(str(error))
        self._operate(name, epoch, partial(self._close, name, epoch, lost))

    def _suspect(self, name: str) -> None:
        """Write a number, which fails if the last write is lost: a vhost without traffic has no next write."""
        opened = self._opened.get(name)
        if opened is not None and not opened.storage.is_closed:
            opened.database.definitions.write_number()

    def overtaken(self, name: str, leader: str, epoch: int) -> None:
        """Serve a vhost no longer that a broker has taken over, as others know while the database does not answer.

        name: of its log. leader: name of that broker. epoch: of its leadership.
        """
        opened = self._opened.get(name)
        if opened is not None and opened.epoch < epoch:
            # It is released once the database answers, unless it does not belong to this broker any more.
            error = OSError(errno.EPERM, f"{leader} leads now, and the database does not answer")
            self._operate(name, opened.epoch, partial(self._close, name, opened.epoch, error))

    def reopen(self, vhost: str) -> None:
        """Release a vhost whose deletion was undone, if it is no longer in memory, so that any broker serves it."""
        undone = OSError(errno.ESTALE, "it was deleted, and is defined again")
        for name, opened in self._opened.items():
            if opened.vhost == vhost and opened.storage.is_closed:
                self._operate(name, opened.epoch, partial(self._close, name, opened.epoch, undone))

    async def _remove(self, removed: VhostLog, epoch: int) -> None:
        if removed.name in self._opened:
            await self._until_deleted(self._opened[removed.name])
            await self._end(self._opened.pop(removed.name), OSError("the vhost is deleted"))
        vhost = in_one_line(removed.vhost)
        try:
            await self._remove_data(removed, epoch)
            log.info("the stored data of the deleted vhost '%s' is removed", vhost)
        except FencedError:
            log.info("the stored data of the vhost '%s' is left to its next leader", vhost)
        except (OSError, StoreError) as error:
            log.error("the stored data of the deleted vhost '%s' cannot be removed yet: %s", vhost, error)  # noqa: TRY400
        # Also after the removal: a promoted standby may lack it, and even the deletion of the vhost.
        self._released.put(Released(removed.name, epoch))

    async def _remove_data(self, removed: VhostLog, epoch: int) -> None:
        """Remove what a deleted vhost has stored, again if the database fails. Raises OSError, StoreError."""
        for left in reversed(range(_ATTEMPTS)):
            database = DatabaseStorage(self._sessions, epoch, removed.name)
            try:
                await self._run(partial(_remove_stored, removed, database))
            except UnwrittenError:
                if not left:
                    raise
                # A dump may read the tables for long.
                await asyncio.sleep(_AGAIN_S)
                if not self._is_last_operation(removed.name):
                    raise
            else:
                return

    async def _until_deleted(self, opened: _Opened) -> None:
        """Wait until this broker has followed the deletion of a vhost, which it tells the clients.

        It does not if a vhost of the same name was created at once.
        """
        end = self._loop.time() + _DELETED_S
        while not opened.storage.is_closed and self._loop.time() < end:
            await asyncio.sleep(_LOOK_S)

    async def _close(self, name: str, epoch: int | None, error: OSError | None, successor: str = "") -> None:
        """Serve a vhost no longer, and release its leadership, unless a later one has begun.

        epoch: of the leadership that ends, None for any. error: why nothing may be written, None to write what is left.
        """
        opened = self._opened.get(name)
        if opened is None or epoch not in (None, opened.epoch):
            return
        del self._opened[name]
        if error is not None:
            log.critical(
                "vhost '%s': %s; its connections are closed", in_one_line(opened.vhost), error.strerror or error
            )
        await self._end(opened, error)
        # Also if another broker leads: a promoted standby may lack its takeover.
        self._released.put(Released(name, opened.epoch, successor))

    async def _end(self, opened: _Opened, error: OSError | None) -> None:
        """Serve a vhost no longer. error: why nothing may be written, None to write what is left."""
        vhost, _, storage, database = opened
        store = storage.store
        assert isinstance(store, Persistence)
        if error is not None:
            store.writer.fail(error)
        if database.log == LOG:
            self._lead_definitions(None)
        elif (served := self._broker.vhosts.get(vhost)) is not None and served.storage is storage:
            self._broker.close_vhost(vhost)
        end = self._loop.time() + _WRITTEN_S
        while not store.writer.has_failed and store.synced < store.appended and self._loop.time() < end:
            store.sync()
            await asyncio.sleep(_LOOK_S)
        if database.log == LOG:
            # Only now: requests whose changes were just written succeed.
            self._broker.close_definitions(storage)
        try:
            await self._run(store.close)
        except StoreError as failure:
            log.error("vhost '%s': %s", in_one_line(vhost), failure)  # noqa: TRY400
        await self._run(database.close)
        self._set_stuck(database.log, None)

    async def _run(self, task: Callable[[], Any]) -> Any:
        return await self._loop.run_in_executor(self._workers, task)


async def _in_time(following: "Future[Followed]") -> Followed:
    """Return what was followed of a journal, nothing if there is no answer in time."""
    try:
        return await asyncio.wait_for(asyncio.wrap_future(following), _FOLLOWED_S)
    except TimeoutError:
        return Followed()


async def _after(before: "asyncio.Task[None] | None", operation: Callable[[], Coroutine[Any, Any, None]]) -> None:
    if before is not None:
        await asyncio.wait([before])
    await operation()


def _remove_stored(removed: VhostLog, database: DatabaseStorage) -> None:
    """Remove what a deleted vhost has stored, on a worker, and close its storage. Raises OSError, StoreError."""

    def remove(connection: TimedConnection) -> None:
        remove_log(removed, connection, database.removal)

    try:
        database.open()
        database.read(remove)
    finally:
        database.close()
