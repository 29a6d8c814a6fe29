"""Runs one broker through the phases of a soak, one after the other, without a restart."""

import json
import re
import ssl
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from amqpbroker.config.bounds import Bounds
from tests.certificates import Authority
from tests.load.memory import resident_bytes
from tests.process import ENVIRONMENT, PATIENCE_S
from tests.soak.client import SoakClient
from tests.soak.management import Management
from tests.soak.rest import EVERYTHING_S, Rest, lowered, try_everything

#: A line of the log that reports a failure.
FAILURE = re.compile(r"Traceback|\[(error|critical|alert|emergency)\]")
#: The line before that of an error caused by the client.
HEAD = re.compile(r" (Channel error|Error) on (AMQP )?connection ")
#: Maximum number of such lines that are reported for one phase, and of characters of each.
MAX_LINES, MAX_CHARACTERS = 5, 300


@dataclass(frozen=True, slots=True)
class Mode:
    """Delivery modes of published messages, used in rotation."""

    name: str
    delivery_modes: tuple[int, ...]


TRANSIENT = Mode("transient", (1,))
PERSISTENT = Mode("persistent", (2,))
MIXED = Mode("mixed", (1, 2))
MODES = (TRANSIENT, PERSISTENT, MIXED)


class Soak:
    """Context of a phase: the broker, and the number of repetitions of operations.

    divisor: divides the bounds and therefore all counts; 1 for the broker's own bounds.
    """

    def __init__(self, host: "Host", management: Management, divisor: int) -> None:
        self.host = host
        self.management = management
        self._divisor = divisor

    @property
    def port(self) -> int:
        return self.host.port

    @property
    def metrics_port(self) -> int:
        return self.host.metrics_port

    @property
    def bounds(self) -> Bounds:
        """The bounds of the broker."""
        return lowered(self.host.divisor)

    def count(self, of: int) -> int:
        """Return the count, divided like the bounds."""
        return max(20, of // self._divisor)

    def until(self, is_met: Callable[[], bool], what: str) -> None:
        """Wait until a condition is met. Raises AssertionError if it is not met in time."""
        patience = time.monotonic() + PATIENCE_S
        while not is_met():
            assert time.monotonic() < patience, f"this never happened: {what}"
            time.sleep(0.02)

    @contextmanager
    def lever(self, name: str) -> Iterator[None]:
        """Block the broker's `disk`, simulate low `memory`, or set its memory `alarm`; see `levers`."""
        self.management.call("PUT", f"/soak/{name}")
        try:
            yield
        finally:
            self.management.call("DELETE", f"/soak/{name}")

    def client(self) -> SoakClient:
        return SoakClient(self.port)

    def census(self) -> dict[str, int]:
        found: dict[str, int] = self.management.call("GET", "/soak")
        return found

    def forget_clients(self) -> None:
        """Wait until the channels of former clients are forgotten: samples retain each for up to two rounds."""
        self.until(lambda: not self.census().get("Channel"), "the channels of former clients are forgotten")

    def serves_others(self) -> None:
        """Raise AssertionError unless a new client completes every operation in time."""
        took_s = try_everything(self.port, self.management)
        assert took_s < EVERYTHING_S, f"another client took {took_s:.2f} s for what may take {EVERYTHING_S} s"


@dataclass(frozen=True, slots=True)
class Phase:
    """A feature that is driven past twice its bounds.

    is_peak: the phase needs more memory than others. Python cannot return all of that memory to the system, so the
    process retains it. compat: the release that the broker is compatible with; the phases of each release have their
    own broker. error: a part of the log line of errors that clients cause, "" for none. mode: delivery modes of its
    messages, None if they are not what the phase is about.
    """

    name: str
    drive: Callable[[Soak], None]
    is_peak: bool = False
    compat: str = "4.0"
    error: str = ""
    mode: Mode | None = None


def in_modes(
    name: str,
    drive: Callable[..., None],
    is_peak: bool = False,
    compat: str = "4.0",
    modes: tuple[Mode, ...] = MODES,
    **options: object,
) -> list[Phase]:
    """Return a phase for each mode. Options are passed to `drive`, after the soak and the mode."""
    return [
        Phase(
            f"{name}, {mode.name}",
            lambda soak, mode=mode: drive(soak, mode, **options),
            is_peak,
            compat,
            mode=mode,
        )
        for mode in modes
    ]


class Host:
    """Process of the broker. Use it in a `with`."""

    def __init__(self, directory: Path, divisor: int = 1, compat: str = "4.0") -> None:
        self._directory = directory
        self.divisor = divisor
        self.trusted = ssl.create_default_context()
        self._compat = compat
        self._read = 0

    def __enter__(self) -> "Host":
        ready = self._directory / "ready.json"
        authority = Authority(self._directory)
        issued = authority.issue("server")
        self.trusted.load_verify_locations(authority.cafile)
        command = [sys.executable, "-m", "tests.soak.host", str(self._directory), str(self.divisor), self._compat]
        command += issued
        self.log = self._directory / "broker.log"
        self.data = self._directory / "data"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=ENVIRONMENT)
        until = time.monotonic() + PATIENCE_S
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > until:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"the broker did not start: {self.log.read_text()}")
            time.sleep(0.01)
        time.sleep(0.1)
        ports = json.loads(ready.read_text())
        self.port, self.tls_port = ports["amqp"][0][1], ports["amqp/ssl"][0][1]
        self.http_port, self.https_port = ports["http"][0][1], ports["https"][0][1]
        self.metrics_port = ports["http/prometheus"][0][1]
        return self

    def failures(self, error: str = "") -> list[str]:
        """Return the lines logged since the last call that report failures.

        error: a part of the lines for errors that clients cause on purpose, "" for none.
        """
        with self.log.open(errors="replace") as log:
            log.seek(self._read)
            lines = log.readlines()
            self._read = log.tell()
        wrong = [line for line in lines if FAILURE.search(line) and not HEAD.search(line)]
        if error:
            wrong = [line for line in wrong if error not in line]
        return [f"logged: {line.rstrip()[:MAX_CHARACTERS]}" for line in wrong[:MAX_LINES]]

    def stop(self) -> int:
        """Stop the broker like an operator; return its exit status."""
        self.process.terminate()
        return self.process.wait(PATIENCE_S)

    def __exit__(self, *raised: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            self.process.wait()


def run(
    phases: list[Phase], directory: Path, divisor: int = 1, peak: Phase | None = None
) -> Iterator[tuple[Phase, float, float, list[str]]]:
    """Run the phases of each release on a broker, after a short round of all of them that fills caches.

    The broker is compared with its state after that round. peak: a phase that runs before it at its full size. Without
    it, a broker with few phases would have its first peak in one of them, and retain memory after it.

    Yields each phase with its duration in seconds, the memory after it in bytes, and its problems, one string each. The
    last phase of each release is the end of its broker.
    """
    for compat in sorted({phase.compat for phase in phases}):
        own = directory / compat
        own.mkdir()
        yield from _run([phase for phase in phases if phase.compat == compat], own, divisor, compat, peak)


def _run(
    phases: list[Phase], directory: Path, divisor: int, compat: str, peak: Phase | None
) -> Iterator[tuple[Phase, float, float, list[str]]]:
    with Host(directory, divisor, compat) as host, closing(Management(host.http_port)) as management:
        if peak is not None:
            peak.drive(Soak(host, management, divisor))
        at_first = {}
        for phase in phases:
            wrong = _drive(phase, Soak(host, management, divisor if phase.is_peak else divisor * 20))
            at_first[phase.name] = [f"in the warm-up: {line}" for line in wrong + host.failures(phase.error)]
        try_everything(host.port, management)
        rest = Rest(host.process.pid, management, divisor)
        rest.remember()
        for phase in phases:
            started = time.monotonic()
            wrong = _drive(phase, Soak(host, management, divisor))
            took = time.monotonic() - started
            # A phase that fails in the same way both times is reported once.
            wrong = wrong or at_first[phase.name]
            everything_s = try_everything(host.port, management)
            if everything_s > EVERYTHING_S:
                wrong.append(f"a new client took {everything_s:.2f} s for what may take {EVERYTHING_S} s")
            wrong += rest.differences() + host.failures(phase.error)
            yield phase, took, resident_bytes(host.process.pid), wrong
        started, memory = time.monotonic(), resident_bytes(host.process.pid)
        status = host.stop()
        wrong = [f"the broker's exit status is {status}"] if status else []
        yield Phase(f"end, as {compat}", _nothing), time.monotonic() - started, memory, wrong + host.failures()


def _drive(phase: Phase, soak: Soak) -> list[str]:
    """Return the failure of the phase, if it failed."""
    try:
        phase.drive(soak)
    except AssertionError as error:
        return [str(error) or f"an assertion failed: {traceback.extract_tb(error.__traceback__)[-1]}"]
    return []


def _nothing(soak: Soak) -> None:
    """Do nothing."""
