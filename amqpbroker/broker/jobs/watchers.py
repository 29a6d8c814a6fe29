"""Functions that wait for the ends of jobs."""

from collections.abc import Callable
from typing import final

from amqpbroker.broker.jobs.job import Job


@final
class Watchers:
    """The functions to call when jobs end or are forgotten."""

    def __init__(self) -> None:
        self._by_job: dict[Job, list[Callable[[], None]]] = {}

    def watch(self, job: Job, on_end: Callable[[], None]) -> Callable[[], None]:
        """Call `on_end` once, when the job ends or is forgotten. Return a function that ends this earlier."""
        self._by_job.setdefault(job, []).append(on_end)

        def unwatch() -> None:
            watching = self._by_job.get(job)
            if watching is not None and on_end in watching:
                watching.remove(on_end)
                if not watching:
                    del self._by_job[job]

        return unwatch

    def notify(self, job: Job) -> None:
        """Call the functions that wait for the end of a job."""
        for on_end in self._by_job.pop(job, ()):
            on_end()

    def clear(self) -> None:
        """Remove all functions, without calling them."""
        self._by_job.clear()
