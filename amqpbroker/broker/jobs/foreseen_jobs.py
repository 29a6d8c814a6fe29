"""The number of jobs of a vhost after a transaction."""

from typing import final

from amqpbroker import errors
from amqpbroker.broker.jobs.job import Job


@final
class ForeseenJobs:
    """The jobs as they will be after the messages of a transaction so far, before any of them is published."""

    def __init__(self, vhost: str, jobs: dict[bytes, Job], ended: dict[bytes, Job], most: int) -> None:
        """jobs: by key, as of `job_key`. ended: those that make space, in this order. most: in `Bounds`."""
        self._vhost: str = vhost
        self._jobs: dict[bytes, Job] = jobs
        self._most: int = most
        self._spare: int = most - len(jobs)
        self._ended: list[bytes] = list(ended)
        self._next: int = 0
        self._added: set[bytes] = set()
        self._removed: set[bytes] = set()

    def add(self, key: bytes, ends: bool) -> None:
        """Add a message that is a job. key: of the job. ends: at once. Raises AmqpError 406 if the limit is reached."""
        if key in self._added:
            return
        job = self._jobs.get(key)
        if job is not None and not job.has_ended:
            return
        if job is None or key in self._removed:
            self._reserve()
            if ends:
                # It makes space for another one.
                self._spare += 1
                return
        if not ends:
            self._added.add(key)

    def _reserve(self) -> None:
        if self._spare > 0:
            self._spare -= 1
            return
        while self._next < len(self._ended):
            ended = self._ended[self._next]
            self._next += 1
            # A job that was published again after its end has not ended any more.
            if ended not in self._added:
                self._removed.add(ended)
                return
        raise errors.job_limit("jobs", self._most, self._vhost)
