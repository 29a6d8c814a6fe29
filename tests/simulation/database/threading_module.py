"""The parts of `threading`, `queue`, `concurrent.futures` and `time` that the product uses, for simulated threads."""

import math
from collections import deque
from collections.abc import Callable
from typing import Any

from tests.simulation.database.tasks import Task, current
from tests.simulation.scheduler import SECOND


class Event:
    """`threading.Event`."""

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: list[Task] = []

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        waiting, self._waiting = self._waiting, []
        for task in waiting:
            task.wake_later()

    def clear(self) -> None:
        self._is_set = False

    def wait(self, timeout: float) -> bool:
        if not self._is_set:
            task = current()
            self._waiting.append(task)
            # Time must go on, or a caller that waits for a rest of nothing never ends.
            task.wait(math.ceil(timeout * SECOND))
            if task in self._waiting:
                self._waiting.remove(task)
        return self._is_set


class Lock:
    """`threading.Lock`."""

    def __init__(self) -> None:
        self._is_held = False
        self._waiting: list[Task] = []

    def __enter__(self) -> None:
        while self._is_held:
            task = current()
            self._waiting.append(task)
            task.wait()
        self._is_held = True

    def locked(self) -> bool:
        return self._is_held

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._is_held = False
        waiting, self._waiting = self._waiting, []
        for task in waiting:
            task.wake_later()


class Thread:
    """`threading.Thread`, whose process is that of the thread that starts it."""

    def __init__(self, target: Callable[[], None], name: str, daemon: bool) -> None:
        self._target = target
        self._ended = Event()

    def start(self) -> None:
        current().process.start(self._run)

    def _run(self) -> None:
        self._target()
        self._ended.set()

    def is_alive(self) -> bool:
        return not self._ended.is_set()

    def join(self) -> None:
        while not self._ended.is_set():
            self._ended.wait(3600.0)


class SimpleQueue:
    """`queue.SimpleQueue`, which one thread reads."""

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._reader: Task | None = None

    def put(self, item: Any) -> None:
        self._items.append(item)
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.wake_later()

    def get(self) -> Any:
        while not self._items:
            self._reader = task = current()
            task.wait()
        return self._items.popleft()


class ThreadPoolExecutor:
    """`concurrent.futures.ThreadPoolExecutor`, for tasks whose results nobody awaits."""

    def __init__(self, max_workers: int, thread_name_prefix: str = "") -> None:
        self._most = max_workers
        self._running = 0
        self._tasks: deque[Callable[[], None]] = deque()
        self._idle = Event()

    def submit(self, task: Callable[[], None]) -> None:
        self._tasks.append(task)
        if self._running < self._most:
            self._running += 1
            self._idle = Event()
            current().process.start(self._run)

    def _run(self) -> None:
        while self._tasks:
            self._tasks.popleft()()
        self._running -= 1
        if not self._running:
            self._idle.set()

    def shutdown(self) -> None:
        while self._running:
            self._idle.wait(3600.0)


def sleep(seconds: float) -> None:
    """`time.sleep`."""
    current().wait(int(seconds * SECOND))


def monotonic() -> float:
    """`time.monotonic`."""
    return current().process.scheduler.now / SECOND
