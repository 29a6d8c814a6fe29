"""A world: a machine with a disk, a broker on it, clients, and a network between them, all from one seed."""

import asyncio
import hashlib
import random
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Protocol

from amqpbroker.config import Config
from amqpbroker.store.log import StoreError
from tests.harness import Received
from tests.simulation.broker_process import BrokerProcess
from tests.simulation.chance import Chance
from tests.simulation.disk import Disk
from tests.simulation.logged import LoggedErrors
from tests.simulation.machine_time import MachineTime
from tests.simulation.network import Connection, SimulatedTransport
from tests.simulation.processor import Processor
from tests.simulation.scheduler import MS, SECOND, Scheduler
from tests.simulation.shovels import LinkConnection

#: Time from power-on to the start of the broker.
BOOT_NS = (10 * MS, 2 * SECOND)
#: The same, and the time before a client connects again, in a hasty world.
HASTY_NS = (1 * MS, 20 * MS)
#: Texts of errors that this disk gives no reason for: it has what was written where it was written.
MISPLACED = ("bytes instead of", "cannot be read back")
#: Groups of workloads are smaller than that.
WHOLE_GROUP_BYTES = 1 << 24
#: Default consumer timeout. With a shorter one, deliveries on their way may be late.
TIMEOUT_MS = Config().consumer_timeout_ms
#: Time that a client may hold a message that certainly has not exceeded the default timeout: a delivery and its
#: settlement take less than a minute to arrive.
IN_TIME_NS = TIMEOUT_MS * MS - 60 * SECOND


#: Ends of a broker's process.
KILLED = "killed"
POWER = "power"
STOPPED = "stopped"
#: The broker ended by itself after an error, and closed its connections before.
FAILED = "failed"


class Death(NamedTuple):
    """An end of a broker's process. kind: KILLED, POWER, STOPPED or FAILED.

    synced_ns: time of the last definitions sync. troubled_ns: see `Processor.troubled_until`.
    """

    at_ns: int
    kind: str
    synced_ns: int
    troubled_ns: int


class BrokenError(Exception):
    """The broker did something wrong; the text says what, and when."""


class Connecting(Protocol):
    """A client of the broker. name: in the transcript."""

    name: str

    def received_bytes(self, data: bytes) -> None:
        """Read arrived data."""

    def ended(self) -> None:
        """Called when the connection has ended."""

    def drop(self) -> None:
        """Cut its connection, if it has one."""

    def leave(self) -> None:
        """End the connection, and do not connect again."""


class World:
    """The world of a seed, which determines everything.

    crashes, starts: of the broker so far. lives: number of the broker's current life; a crash begins another one.
    deaths: ends of its process so far.
    """

    def __init__(self, seed: int, config: Config, hasty: bool = False, sqlite: bool = False) -> None:
        self.seed = seed
        self.config = config
        self.hasty = hasty
        self.scheduler = Scheduler()
        self.time = MachineTime(self.scheduler)
        self.processor = Processor(self.scheduler)
        self.disk = Disk(self.chance("disk"), sqlite)
        #: The broker, from when it accepts clients to its end.
        self.process: BrokerProcess | None = None
        #: The same, also while it starts.
        self._process: BrokerProcess | None = None
        #: Number of steps on the disk until a crash, 0 if none is planned, and whether the power fails.
        self._steps_left = 0
        self._power = False
        self.clients: list[Connecting] = []
        #: Connections that the broker may still read from, by the names of their clients.
        self._connections: dict[str, list[Connection]] = {}
        self._synced_ns = 0
        #: Called with each broker that has started.
        self.on_started: Callable[[BrokerProcess], None] = lambda _: None
        #: Stops a broker in order; a check may look at it before and after.
        self.stop_process: Callable[[BrokerProcess], None] = BrokerProcess.stop
        #: Objects of other brokers in this process, by their types, in worlds that count them.
        self.alive_before: Counter[str] = Counter()
        #: Sizes of containers that outlive every broker, before this one: module -> container -> size.
        self.sizes_before: dict[str, dict[str, int]] = {}
        self.life = 0
        #: Number of connections that shovels have made.
        self.links_made = 0
        self.crashes = 0
        self.deaths: list[Death] = []
        #: A crash may have left a part of a large operation that was written as several groups.
        self.tore_groups = False
        self.operations = 0
        self.refusals: list[tuple[str, str]] = []
        self._chance = self.chance("world")
        self._ports = 40_000
        self._transcript = hashlib.sha256()
        self._lines: list[str] | None = None

    def chance(self, purpose: str) -> random.Random:
        """Return a random generator for one purpose, so that draws for one purpose do not affect others."""
        return Chance(f"{self.seed} {purpose}")

    def limit_connections(self, least: int) -> None:
        """Raise the broker's limit of connections, if there is one, to a number. Called before it starts."""
        if 0 < self.config.max_connections < least:
            self.config = replace(self.config, max_connections=least)

    # --- the transcript ---------------------------------------------------------------------------------------------

    def note(self, *what: object) -> None:
        """Write one line of the transcript."""
        line = f"{self.scheduler.now} {what!r}"
        self._transcript.update(line.encode())
        self.operations += 1
        if self._lines is not None:
            self._lines.append(line)

    def hash_bytes(self, data: bytes) -> None:
        """Include bytes of the broker in the digest. They are cheaper to hash than the methods in them."""
        self._transcript.update(b"%d " % self.scheduler.now + data)

    def note_received(self, name: str, got: Received) -> None:
        """Write a line about a method that a client has received, and whose bytes are hashed."""
        self.operations += 1
        if self._lines is not None:
            self._lines.append(f"{self.scheduler.now} {(name, got)!r}")

    def keep_transcript(self, lines: list[str]) -> None:
        """Append all further lines to a list."""
        self._lines = lines

    @property
    def digest(self) -> str:
        """Hash of all events so far."""
        return self._transcript.hexdigest()

    def are_empty(self, *queues: str) -> bool:
        """Return whether a broker serves, and these queues in vhost / are empty."""
        process = self.process
        if process is None:
            return False
        there = process.broker.vhosts["/"].queues
        return not any(there[name].ready_count + there[name].unacked_count for name in queues if name in there)

    def broken(self, text: str) -> BrokenError:
        """Return the error for a broken promise."""
        return BrokenError(f"at {self.scheduler.now / SECOND:.6f} s: {text}")

    # --- the broker ---------------------------------------------------------------------------------------------------

    def boot(self) -> None:
        """Start the broker, unless it runs. A start that fails because of the disk is repeated."""
        if self._process is None:
            self._process = BrokerProcess(
                self.config, self.disk, self.scheduler, self.time, self.processor, self._chance, self
            )

    def crash(self, power: bool) -> None:
        """End the broker in any state, also while it starts or stops. With `power`, the machine loses unsynced data."""
        process = self._process
        if process is None:
            return
        self.crashes += 1
        self.note("crash", power, "starting" if self.process is None else "stopping" if process.stopping else "serving")
        self._end(process, POWER if power else KILLED)
        if power:
            self.disk.cut_power()
        else:
            self.disk.end_process()
        self._boot_later()

    def crash_at_step(self, steps: int, power: bool) -> None:
        """End the broker at the given number of steps on the disk from now, also in a later start."""
        self._steps_left = steps
        self._power = power

    def stop(self) -> None:
        """Stop the broker in order, if it serves, and start it again."""
        if self.process is not None and not self.process.stopping:
            self.note("stop")
            self.stop_process(self.process)

    @property
    def is_stopping(self) -> bool:
        """Return whether the broker closes, or has closed, its connections because it stops."""
        if self.process is None:
            return bool(self.deaths) and self.deaths[-1].kind == STOPPED
        return self.process.stopping

    def may_have_timed_out(self, since: int) -> bool:
        """Return whether a message delivered at `since` is overdue, so that the broker may have requeued it."""
        return self.scheduler.now - since >= self.config.consumer_timeout_ms * MS

    def close(self) -> None:
        """Release what the world holds."""
        if self._process is not None:
            self._end(self._process, KILLED)
        self.disk.release()

    def _end(self, process: BrokerProcess, kind: str) -> None:
        self._process = self.process = None
        self.deaths.append(Death(self.scheduler.now, kind, self._synced_ns, self.processor.troubled_until))
        if kind != STOPPED:
            self.tore_groups |= self.config.bounds.group_bytes < WHOLE_GROUP_BYTES
        process.kill()
        self._connections.clear()
        for client in self.clients:
            client.drop()

    def _boot_later(self) -> None:
        self.scheduler.after(self._chance.randint(*(HASTY_NS if self.hasty else BOOT_NS)), self.boot)

    # --- reports of a process -----------------------------------------------------------------------------------------

    def made_step(self) -> None:
        if self._steps_left:
            self._steps_left -= 1
            if not self._steps_left:
                self.scheduler.after(0, partial(self.crash, self._power))

    def started(self, process: BrokerProcess) -> None:
        if process is self._process:
            self.process = process
            self.life += 1
            self.note("started", process.service.recovered)
            self.on_started(process)
            process.run_shovels(partial(self._connect_link, process), self.chance(f"shovels {self.life}"))

    def ended(self, process: BrokerProcess, error: Exception | None) -> None:
        if process is not self._process:
            return
        self.note("ended", str(error))
        # mypyc does not support `raise ... from`, so an error of a compiled broker has a context, but no cause.
        if isinstance(error, StoreError) and not isinstance(error.__context__, OSError):
            raise self.broken(f"the broker finds damage: {error}") from error
        failure = process.service.failure if self.process is not None else None
        if failure is not None and (not self.disk.failures or any(text in str(failure) for text in MISPLACED)):
            raise self.broken("the store failed") from error
        self._end(process, FAILED if error else STOPPED)
        if error is None:
            process.after_stop()
        self.disk.end_process()
        self._boot_later()

    def synced_definitions(self, since: int) -> None:
        self._synced_ns = since

    def logged(self, error: BaseException) -> None:
        """Fail, because the broker has caught and logged an exception."""
        self.scheduler.after(0, partial(self._fail, f"the broker caught {error!r}", error))

    def _fail(self, text: str, error: BaseException) -> None:
        raise self.broken(text) from error

    def erred(self, process: BrokerProcess, error: BaseException | None) -> None:
        if process is self._process:
            raise self.broken(f"the loop caught {error!r}") from error

    # --- the network --------------------------------------------------------------------------------------------------

    def connect(self, client: Connecting, listener: str = "") -> Connection | None:
        """Connect a client; None if no broker is running. listener: one for HTTP, else the one for AMQP."""
        from tests.simulation.client import ClientEnd

        process = self.process
        if process is None or process.stopping:
            return None
        self._ports += 1
        chance = self.chance(f"connection {self._ports}")
        transport = SimulatedTransport(process.loop, self._ports, chance)
        self.note(client.name, "connects", self._ports)
        protocol = process.accept_http(listener) if listener else process.accept()
        connection = Connection(self.scheduler, chance, ClientEnd(client), transport, protocol)
        earlier = self._connections.get(client.name, [])
        self._connections[client.name] = [each for each in earlier if not each.is_over] + [connection]
        return connection

    def _connect_link(
        self, process: BrokerProcess, link: asyncio.BaseProtocol, served: asyncio.BaseProtocol, is_inside: bool
    ) -> LinkConnection:
        """Connect a link of a shovel to the broker in whose process it is."""
        self._ports += 1
        self.links_made += 1
        chance = self.chance(f"connection {self._ports}")
        self.note("a shovel connects", self._ports, is_inside)
        near, far = [SimulatedTransport(process.loop, self._ports, chance) for _ in range(2)]
        return LinkConnection(self.scheduler, chance, near, far, link, served, is_inside)

    def ignores(self, client: Connecting) -> bool:
        """Return whether the broker reads nothing more from ended connections of the client."""
        return all(each.is_over or each.is_open for each in self._connections.get(client.name, []))

    def count_connections(self, name: str) -> int:
        """Return the number of connections of a client that the broker may still have."""
        return sum(not each.is_over for each in self._connections.get(name, []))

    def closed_by_broker(self, name: str, got: Any) -> None:
        """Record an error that the broker has sent to a client."""
        self.refusals.append((name, f"{got.arguments['reply_code']} {got.arguments['reply_text']}"))

    # --- time ---------------------------------------------------------------------------------------------------------

    def run(self, duration: int) -> None:
        """Make every call that is due within `duration` nanoseconds."""
        self.scheduler.run(self.scheduler.now + duration)

    def run_until(self, reached: Callable[[], bool], within: int) -> bool:
        """Run until the condition is true; return whether it became true within that many nanoseconds."""
        end = self.scheduler.now + within
        while not reached():
            if self.scheduler.now >= end:
                return False
            # The condition is checked after an event, and not too often.
            self.scheduler.run(min(max(self.scheduler.next_due, self.scheduler.now + 50 * MS), end))
        return True


@contextmanager
def determined(seed: int) -> Iterator[LoggedErrors]:
    """Derive all randomness in the process from the seed, and log nothing. Yields the logged errors."""
    chance = random.Random(f"{seed} process")
    token_bytes, state = secrets.token_bytes, random.getstate()
    logged = LoggedErrors()
    secrets.token_bytes = lambda count=32: chance.randbytes(count)  # type: ignore[assignment]
    random.seed(seed)
    logged.start()
    try:
        yield logged
    finally:
        secrets.token_bytes = token_bytes
        random.setstate(state)
        logged.stop()
