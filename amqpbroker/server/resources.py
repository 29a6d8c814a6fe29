"""Watches the memory of this process and the disk that it writes to, and sets and clears their alarms."""

import errno
import logging
import math
from collections.abc import Callable
from pathlib import Path

from amqpbroker.broker.alarms import Alarms
from amqpbroker.clock import Clock

log = logging.getLogger(__name__)

#: Bounds of how long until the memory is looked at again, and how fast a publisher is thought to fill it, at most.
MEMORY_INTERVAL_MIN_MS = 100
MEMORY_INTERVAL_MAX_MS = 1000
MEMORY_BYTES_PER_MS = 250_000

#: The share of the memory limit from which on memory is short: time to move to the disk what can be.
SHORT = 0.5

#: Memory of a process below which nothing is trimmed. Memory that a trim has to return to have been worth it.
SMALL_BYTES = 48 * 1024 * 1024
WORTH_BYTES = 16 * 1024 * 1024
#: Intervals at which the allocator returns freed memory to the operating system, which may stop everything for 0.3 s.
#: The second one is reached while it was not worth it and nothing has changed. Above the limit it is done more often:
#: the freed memory would block publishers though nothing is queued any more.
TRIM_INTERVAL_MS = 10_000
TRIM_LONGEST_INTERVAL_MS = 60_000
TRIM_ALARMED_INTERVAL_MS = 1000

#: Bounds of how long until the disk is looked at again, and how fast it is thought to fill, at most
#: (rabbit_disk_monitor.erl). During an alarm it is the second in which a stuck write is tried again.
DISK_INTERVAL_MIN_MS = 100
DISK_INTERVAL_MAX_MS = 10_000
DISK_ALARMED_INTERVAL_MS = 1000
DISK_BYTES_PER_MS = 250_000

#: Advice for a failed write, by its error.
_ADVICE = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there, or have the quota raised",
    errno.EFBIG: "have the limit of file sizes raised (ulimit -f)",
    errno.EIO: "look after the disk",
}
_ADVICE_FOR_DATABASE = _ADVICE | {errno.EIO: "look after the database"}


class MemoryMonitor:
    """Keeps the memory alarm on while this process takes more than `limit_bytes`; checks more often the nearer that is.

    short: it takes more than half of that. on_short(short): called when this has changed, the first time for True.
    `used()` returns the bytes taken; where it raises OSError there is no such alarm. `trim()` makes the allocator
    return freed memory to the operating system, so that it does not count, nor stay with a broker whose backlog has
    gone.
    """

    def __init__(
        self,
        clock: Clock,
        alarms: Alarms,
        limit_bytes: int,
        used: Callable[[], int],
        trim: Callable[[], None],
    ) -> None:
        self.short: bool = False
        self.on_short: Callable[[bool], None] = lambda short: None
        self._clock = clock
        self._alarms = alarms
        self._limit_bytes = limit_bytes
        self._used = used
        self._trim = trim
        self._alarmed = False
        self._trimmed_ms = 0
        self._interval_ms = TRIM_INTERVAL_MS
        self._left_bytes = 0

    def check(self) -> None:
        """Check now, and again and again from now on."""
        try:
            used_bytes = self._used_bytes()
        except OSError as error:
            log.warning("the memory is not watched, and never causes an alarm: %s", error)
            return
        enough_ms = (self._limit_bytes * SHORT - used_bytes) // MEMORY_BYTES_PER_MS
        self._clock.after(int(max(MEMORY_INTERVAL_MIN_MS, min(MEMORY_INTERVAL_MAX_MS, enough_ms))), self.check)
        alarmed = used_bytes > self._limit_bytes
        if alarmed is not self._alarmed:
            self._alarmed = alarmed
            state = "set" if alarmed else "clear"
            log.warning("vm_memory_high_watermark %s. Memory used:%d allowed:%d", state, used_bytes, self._limit_bytes)
            (self._alarms.set if alarmed else self._alarms.clear)("memory")
        short = used_bytes > self._limit_bytes * SHORT
        if short is not self.short:
            self.short = short
            self.on_short(short)

    def _used_bytes(self) -> int:
        used_bytes = self._used()
        if self._clock.turn_ms - self._trimmed_ms >= self._trim_interval_ms(used_bytes):
            self._trim()
            self._trimmed_ms = self._clock.turn_ms
            before, used_bytes = used_bytes, self._used()
            if before - used_bytes >= WORTH_BYTES:
                self._interval_ms = TRIM_INTERVAL_MS
            else:
                self._interval_ms = min(2 * self._interval_ms, TRIM_LONGEST_INTERVAL_MS)
            self._left_bytes = used_bytes
        return used_bytes

    def _trim_interval_ms(self, used_bytes: int) -> float:
        if used_bytes > self._limit_bytes:
            return TRIM_ALARMED_INTERVAL_MS
        if used_bytes > self._limit_bytes * SHORT:
            return TRIM_INTERVAL_MS
        if used_bytes <= SMALL_BYTES:
            return math.inf
        # Trim again soon if much has changed since the last time.
        return self._interval_ms if abs(used_bytes - self._left_bytes) < WORTH_BYTES else TRIM_INTERVAL_MS


class DiskMonitor:
    """Keeps the disk alarm on while less than `limit_bytes` are free, and while writing fails.

    `free()` gives the bytes free in `directory`; while it raises OSError the last answer holds. in_database: messages
    are written to a database, and not to the directory.
    """

    def __init__(
        self,
        clock: Clock,
        alarms: Alarms,
        limit_bytes: int,
        directory: Path,
        free: Callable[[Path], int],
        in_database: bool = False,
    ) -> None:
        self._clock = clock
        self._alarms = alarms
        self._limit_bytes = limit_bytes
        self._directory = directory
        self._free = free
        self._written_to = "the database" if in_database else str(directory)
        self._advice = _ADVICE_FOR_DATABASE if in_database else _ADVICE
        self._low = False
        self._stuck = False
        self._unknown = False

    def check(self) -> None:
        """Check now, and again and again from now on: the nearer to the limit, the sooner."""
        self._clock.after(self._measure(), self.check)

    def _measure(self) -> int:
        """Return after how many milliseconds to check again."""
        try:
            free_bytes = self._free(self._directory)
        except OSError as error:
            if not self._unknown:
                log.warning("cannot tell how much is free in %s: %s", self._directory, error.strerror)
            self._unknown = True
            return DISK_INTERVAL_MAX_MS
        self._unknown = False
        low = free_bytes < self._limit_bytes
        if low is not self._low:
            self._low = low
            state = "insufficient" if low else "sufficient"
            log.warning("Free disk space is %s. Free bytes: %d. Limit: %d", state, free_bytes, self._limit_bytes)
            self._update()
        if low:
            return DISK_ALARMED_INTERVAL_MS
        ideal_ms = 2 * (free_bytes - self._limit_bytes) // DISK_BYTES_PER_MS
        return max(DISK_INTERVAL_MIN_MS, min(DISK_INTERVAL_MAX_MS, ideal_ms))

    def on_stuck(self, error: OSError | None) -> None:
        """Writing has failed and is tried again; or, for None, works again."""
        if error is not None:
            log.critical(
                "cannot write to %s: %s. Publishers are blocked, and persistent messages not confirmed, until it works;"
                " it is tried again every second: %s",
                self._written_to,
                error.strerror or error,
                self._advice.get(error.errno or 0, "see to what the system says"),
            )
        self._stuck = error is not None
        self._update()

    def _update(self) -> None:
        (self._alarms.set if self._low or self._stuck else self._alarms.clear)("disk")
