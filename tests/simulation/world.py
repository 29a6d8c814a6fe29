"""A world: a machine with a disk, a broker on it, clients, and a network between them, all out of one seed."""

import hashlib
import logging
import random
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from amqpbroker.config import Config
from amqpbroker.store.log import StoreError
from tests.simulation.broker_process import BrokerProcess
from tests.simulation.disk import Disk
from tests.simulation.machine_time import MachineTime
from tests.simulation.network import Connection, SimulatedTransport
from tests.simulation.processor import Processor
from tests.simulation.scheduler import MS, SECOND, Scheduler

if TYPE_CHECKING:
    from tests.simulation.client import Client

#: How long a machine takes to start a broker.
BOOT_NS = (10 * MS, 2 * SECOND)
#: Groups of workloads are smaller than that.
WHOLE_GROUP_BYTES = 1 << 24


class BrokenError(Exception):
    """The broker did what it must not do; the text says what, and when."""


class World:
    """seed: decides everything. crashes, starts: of the broker so far. lives: number of the broker's current life; a
    crash begins another one. power_cuts: their times. incidents: what happened that a check has to know, as
    (life, text)."""

    def __init__(self, seed: int, config: Config) -> None:
        self.seed = seed
        self.config = config
        self.scheduler = Scheduler()
        self.time = MachineTime(self.scheduler)
        self.processor = Processor(self.scheduler)
        self.disk = Disk(self.chance("disk"))
        self.process: BrokerProcess | None = None
        self.clients: list[Client] = []
        self.life = 0
        self.crashes = 0
        #: A power cut may have stored a part of what takes effect together: of groups that are too large for that.
        self.tore_groups = False
        self.power_cuts: list[int] = []
        self.operations = 0
        self.refusals: list[tuple[str, str]] = []
        self._chance = self.chance("world")
        self._ports = 40_000
        self._transcript = hashlib.sha256()
        self._lines: list[str] | None = None

    def chance(self, purpose: str) -> random.Random:
        """Return numbers of their own for one purpose, so that what one does never changes the luck of another."""
        return random.Random(f"{self.seed} {purpose}")

    # --- the transcript ---------------------------------------------------------------------------------------------

    def note(self, *what: object) -> None:
        """Write one line of the transcript."""
        line = f"{self.scheduler.now} {what!r}"
        self._transcript.update(line.encode())
        self.operations += 1
        if self._lines is not None:
            self._lines.append(line)

    def keep_transcript(self, lines: list[str]) -> None:
        """Append all further lines to a list."""
        self._lines = lines

    @property
    def digest(self) -> str:
        """Hash of everything that happened so far."""
        return self._transcript.hexdigest()

    def broken(self, text: str) -> BrokenError:
        """Return the error for a broken promise."""
        return BrokenError(f"at {self.scheduler.now / SECOND:.6f} s: {text}")

    # --- the broker -------------------------------------------------------------------------------------------------

    def boot(self) -> None:
        """Start the broker, unless it runs. A start that a fault of the disk prevents is tried again."""
        if self.process is not None:
            return
        try:
            self.process = BrokerProcess(
                self.config, self.disk, self.scheduler, self.time, self.processor, self._chance
            )
        except (OSError, StoreError) as error:
            self.note("no start", str(error))
            self.disk.end_process()
            self._boot_later()
            return
        self.life += 1
        self.note("started", self.process.recovered)
        self.scheduler.after(0, self._check)

    def crash(self, power: bool) -> None:
        """End the broker wherever it is; with `power` the machine forgets what was not synced."""
        process, self.process = self.process, None
        if process is None:
            return
        self.crashes += 1
        self.note("crash", power)
        process.kill()
        if power:
            self.power_cuts.append(self.scheduler.now)
            self.disk.cut_power()
            self.tore_groups |= self.config.bounds.group_bytes < WHOLE_GROUP_BYTES
        else:
            self.disk.end_process()
        self._disconnect()
        self._boot_later()

    def stop(self) -> None:
        """Stop the broker in order, and start it again."""
        process, self.process = self.process, None
        if process is None:
            return
        self.note("stop")
        try:
            process.stop()
        except StoreError as error:
            self.note("stop failed", str(error))
        self.disk.end_process()
        self._disconnect()
        self._boot_later()

    def _boot_later(self) -> None:
        self.scheduler.after(self._chance.randint(*BOOT_NS), self.boot)

    def _disconnect(self) -> None:
        for client in self.clients:
            client.drop()

    def _check(self) -> None:
        """Look at the broker every now and then: an error in its loop is a fault of it."""
        process = self.process
        if process is None:
            return
        if process.loop.errors:
            error = process.loop.errors[0]
            raise self.broken(f"the loop caught {error.get('exception')!r}") from error.get("exception")
        if process.failed is not None:
            self.note("failed", str(process.failed))
            if not self.disk.wedged and not isinstance(process.failed, OSError):
                raise self.broken("the store failed") from process.failed
            self.crash(power=False)
            return
        self.scheduler.after(100 * MS, self._check)

    # --- the network ------------------------------------------------------------------------------------------------

    def connect(self, client: "Client") -> Connection | None:
        """Connect a client; None if no broker is there."""
        from tests.simulation.client import ClientEnd

        process = self.process
        if process is None:
            return None
        self._ports += 1
        chance = self.chance(f"connection {self._ports}")
        transport = SimulatedTransport(process.loop, self._ports, chance)
        self.note(client.name, "connects", self._ports)
        return Connection(self.scheduler, chance, ClientEnd(client), transport, process.accept())

    def closed_by_broker(self, name: str, got: Any) -> None:
        """Note an error that the broker has answered a client with."""
        self.refusals.append((name, f"{got.arguments['reply_code']} {got.arguments['reply_text']}"))

    # --- time -------------------------------------------------------------------------------------------------------

    def run(self, duration: int) -> None:
        """Let everything happen that is due within `duration` nanoseconds."""
        self.scheduler.run(self.scheduler.now + duration)

    def run_until(self, reached: Callable[[], bool], within: int) -> bool:
        """Run until the condition holds; return whether it did within that many nanoseconds."""
        end = self.scheduler.now + within
        while not reached():
            if self.scheduler.now >= end:
                return False
            self.run(min(50 * MS, end - self.scheduler.now))
        return True


@contextmanager
def determined(seed: int) -> Iterator[None]:
    """Have whatever else is random in the process come out of the seed, and nothing logged."""
    chance = random.Random(f"{seed} process")
    token_bytes, state = secrets.token_bytes, random.getstate()
    disabled = logging.root.manager.disable
    secrets.token_bytes = lambda count=32: chance.randbytes(count)  # type: ignore[assignment]
    random.seed(seed)
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        secrets.token_bytes = token_bytes
        random.setstate(state)
        logging.disable(disabled)
