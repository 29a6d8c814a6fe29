"""Replies of workers that are kept until their jobs are forgotten."""

from collections.abc import Callable
from typing import final

from amqpbroker.broker.jobs.job import Job, reply_pieces
from amqpbroker.broker.jobs.records import JobRecords
from amqpbroker.broker.tracking.shares import Shares
from amqpbroker.config import Config
from amqpbroker.store.message_id_record import MessageIdRecord
from amqpbroker.store.record import JOBS_ID
from amqpbroker.store.store import Store


@final
class KeptReplies:
    """Stores the replies to the jobs of a vhost, and counts their bytes."""

    def __init__(
        self, vhost: str, store: Store, config: Config, records: JobRecords, remove_job: Callable[[bytes], None]
    ) -> None:
        """remove_job(key): forgets a job that has ended, and calls `remove`."""
        bounds = config.bounds
        self._shares: Shares = Shares(
            "bytes of replies", vhost, bounds.job_replies_bytes, config.user_share, bounds.job_reply_bytes
        )
        self._store: Store = store
        self._records: JobRecords = records
        self._remove_job = remove_job

    def make_space(self, job: Job, size: int) -> bool:
        """Forget jobs with replies that have ended until the job may have a reply of that size, in place of its own.

        Return False if too few have ended.
        """
        shares = self._shares
        shares.remove(job.key)
        while not shares.has_space(job.user, size):
            ended = shares.next_released(job.user, size)
            if ended is None:
                self.count(job)
                return False
            self._remove_job(ended)
        return True

    def store(self, job: Job, properties: bytes, body: bytes) -> None:
        """Store the reply to a job in place of an earlier one. `make_space` has returned True for it."""
        self._store.begin()
        try:
            self.remove(job)
            for piece in reply_pieces(job.number, properties, body):
                job.reply.append(MessageIdRecord(piece, JOBS_ID, self._records.next_number(), 0, True))
                self._store.add_id(job.reply[-1])
        finally:
            self._store.end()
        self.count(job)

    def count(self, job: Job) -> None:
        """Count the reply of a job, if it has one."""
        if job.reply:
            self._shares.add(job.key, job.user, job.reply_bytes())
            self.update(job)

    def update(self, job: Job) -> None:
        """Note whether a job has ended: its reply then makes space for others."""
        if not job.reply:
            return
        if job.has_ended:
            self._shares.release(job.key)
        else:
            self._shares.hold(job.key)

    def remove(self, job: Job) -> None:
        """Remove the reply of a job."""
        self._shares.remove(job.key)
        for piece in job.reply:
            self._store.remove_id(piece)
        job.reply.clear()

    def close(self) -> None:
        """Discard the counts and the reference to the jobs, without changing the store."""
        self._shares.clear()
        self._remove_job = _ignore


def _ignore(key: bytes) -> None:
    """Do nothing."""
