"""The number of jobs of a vhost after a transaction."""

from typing import final

from amqpbroker.broker.jobs.job import Job
from amqpbroker.broker.tracking.shares import ForeseenShares, Shares


@final
class ForeseenJobs:
    """The jobs as they will be after the messages of a transaction so far, before any of them is published."""

    def __init__(self, jobs: dict[bytes, Job], shares: Shares, user: str) -> None:
        """jobs: by key, as of `job_key`. user: publishes the messages."""
        self._jobs: dict[bytes, Job] = jobs
        self._shares: ForeseenShares = ForeseenShares(shares, user)
        #: Jobs that were published. One that was published again after its end has not ended any more.
        self._added: set[bytes] = set()

    def add(self, key: bytes, ends: bool) -> None:
        """Add a message that is a job. key: of the job. ends: at once. Raises AmqpError 406 if the limit is reached."""
        if key in self._added:
            return
        job = self._jobs.get(key)
        if job is not None and not job.has_ended:
            return
        if job is None or key in self._shares.removed:
            if not self._shares.add(self._added):
                raise self._shares.refusal()
            if ends:
                self._shares.release()
                return
        if not ends:
            self._added.add(key)
