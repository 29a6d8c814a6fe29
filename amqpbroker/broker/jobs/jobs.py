"""Jobs of one vhost: following their copies, and keeping the replies of workers."""

import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final, final

from amqpbroker import errors
from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.fates.expiries import Expiries
from amqpbroker.broker.fates.fates import UNROUTABLE
from amqpbroker.broker.fates.follower import LOST, Follower, Move, is_marked
from amqpbroker.broker.fates.foreseen import Foreseen
from amqpbroker.broker.jobs.foreseen_jobs import ForeseenJobs
from amqpbroker.broker.jobs.job import MOST_PLACES, Job, Place, recovered_job, reply_pieces
from amqpbroker.broker.jobs.records import JobRecords
from amqpbroker.broker.jobs.replies import JobReplies
from amqpbroker.broker.jobs.request import REPLY_PREFIX, Request, is_job, job_id, request_of
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.ledger import REJECTED
from amqpbroker.clock import Clock
from amqpbroker.config.bounds import Bounds
from amqpbroker.message.message import Copy, Message
from amqpbroker.store.record import JOBS_ID
from amqpbroker.store.store import Store
from amqpbroker.store.taken_id import TakenId
from amqpbroker.wire.raw_headers import find_header, value_end
from amqpbroker.wire.values import text

if TYPE_CHECKING:
    from amqpbroker.broker.queues.queue import Queue

log = logging.getLogger(__name__)

#: The reason of the failure of a copy whose job a user has cancelled.
CANCELLED: Final = "cancelled"

_TOKEN_BYTES: Final = 16

#: Publishes a message to destinations; False if one of them refuses it.
Publish = Callable[[Message, Iterable[Destination]], bool]
#: A job on its way, from a place.
JobMove = Move[Job, Place]


@final
class Jobs(Follower[Job, Place]):
    """The jobs of one vhost, by id."""

    def __init__(
        self,
        vhost: str,
        queues: "Callable[[], Mapping[str, Queue]]",
        ignores_rejects: Callable[[str], bool],
        publish: Publish,
        clock: Clock,
        store: Store,
        bounds: Bounds,
        records: JobRecords,
    ) -> None:
        """queues(): returns those of the vhost. ignores_rejects(queue): see `Follower`."""
        super().__init__(ignores_rejects, store)
        self._vhost: str = vhost
        self._closed: bool = False
        self._queues = queues
        self._publish = publish
        self._clock: Clock = clock
        self._most: int = bounds.jobs
        self._most_reply: int = bounds.job_reply_bytes
        self._most_replies: int = bounds.job_replies_bytes
        self._records: JobRecords = records
        self._replies: JobReplies = JobReplies(self._store_reply)
        self._reply_bytes: int = 0
        self._by_id: dict[bytes, Job] = {}
        self._by_token: dict[str, Job] = {}
        #: Jobs that have ended, from the one that ended first.
        self._ended: dict[bytes, Job] = {}
        self._watchers: dict[Job, list[Callable[[], None]]] = {}
        self._expiries: Expiries = Expiries(clock, self._expire)

    def __len__(self) -> int:
        return len(self._by_id)

    def all(self) -> list[Job]:
        """Return the jobs, oldest first."""
        return list(self._by_id.values())

    def find(self, id_: bytes) -> Job | None:
        """Return the job with that id."""
        return self._by_id.get(id_)

    @property
    def open_count(self) -> int:
        """The number of jobs that have not ended."""
        return len(self._by_id) - len(self._ended)

    @property
    def is_full(self) -> bool:
        """Return whether a further job would be refused."""
        return len(self._by_id) >= self._most and not self._ended

    def watch(self, job: Job, on_end: Callable[[], None]) -> Callable[[], None]:
        """Call `on_end` once, when the job ends or is forgotten. Return a function that ends this earlier."""
        self._watchers.setdefault(job, []).append(on_end)

        def unwatch() -> None:
            watching = self._watchers.get(job)
            if watching is not None and on_end in watching:
                watching.remove(on_end)
                if not watching:
                    del self._watchers[job]

        return unwatch

    # --- publishing ---------------------------------------------------------------------------------------------------

    def request(self, message: Message, user: str, ends: int) -> Request | None:
        """Return the job that a published message asks for, None if it is no job.

        ends: number of its destinations. Raises AmqpError 406 if a header is invalid, and beyond the limits.
        """
        request = request_of(message, user, secrets.token_urlsafe(_TOKEN_BYTES))
        if request is None:
            return None
        if ends > MOST_PLACES:
            raise errors.job_limit("copies of a job", MOST_PLACES, self._vhost)
        job = self._by_id.get(request.id)
        if job is None or job.has_ended:
            if job is None and self.is_full:
                raise errors.job_limit("jobs", self._most, self._vhost)
            return request
        # A further copy of the same job, whose reply counts as well.
        return Request(request.id, request.user, request.ttl_ms, job.token if request.token else "")

    def check_all(self, messages: list[Foreseen]) -> None:
        """Raise AmqpError 406 if messages exceed the number of jobs when all are published."""
        foreseen: ForeseenJobs | None = None
        for each in messages:
            if each.dropped or not self.follows(each.message):
                continue
            if foreseen is None:
                foreseen = ForeseenJobs(self._vhost, self._by_id, self._ended, self._most)
            foreseen.add(job_id(each.message), each.ends)

    def publish(self, request: Request, message: Message, destinations: tuple[Destination, ...]) -> bool:
        """Publish a job, and follow it if a queue accepts it. Return False if a queue refuses it."""
        self._store.begin()
        try:
            if not destinations:
                self._follow_unroutable(request, message)
                return True
            job = self._opened(request, message)
            self.begin_publish(job)
            try:
                accepted = self._publish(message, destinations)
                if job is not None:
                    job.done += sum([destination.instant for destination in destinations])
            finally:
                self.end_move("")
            return accepted
        finally:
            self._store.end()

    def unroutable(self, message: Message) -> None:
        if is_marked(message) and is_job(message):
            request = request_of(message, "", "")
            if request is not None:
                self._follow_unroutable(request, message)

    def _follow_unroutable(self, request: Request, message: Message) -> None:
        job = self._by_id.get(request.id)
        if job is not None and not job.has_ended:
            return
        job = self._opened(request, message)
        if job is not None:
            job.fail("", UNROUTABLE, b"")
            self._changed(job)

    def _opened(self, request: Request, message: Message) -> Job | None:
        """Return the job of a message, which may be a new one; None beyond the limit."""
        job = self._by_id.get(request.id)
        if self._closed or (job is not None and not job.has_ended):
            return job
        if job is not None:
            self._remove(job)
        elif len(self._by_id) >= self._most and not self._remove_ended():
            log.warning("vhost '%s' has %d jobs: job '%s' is not followed", self._vhost, self._most, text(request.id))
            return None
        number = self._records.next_number()
        job = Job(self._vhost, request.id, number, request.user, self._clock.wall_ms(), request.ttl_ms)
        job.exchange, job.routing_key, job.token = message.exchange, message.routing_key, request.token
        self._add(job)
        return job

    def _add(self, job: Job) -> None:
        self._by_id[job.id] = job
        if job.token:
            self._by_token[job.token] = job
        self.set_active(True)

    # --- replies ------------------------------------------------------------------------------------------------------

    def reply_destination(self, name: str) -> JobReplies | None:
        """Return the destination of replies to a job; None if the routing key names no job."""
        return self._replies if name[len(REPLY_PREFIX) :] in self._by_token else None

    def _store_reply(self, token: str, message: Message) -> bool:
        """Keep a reply in place of an earlier one. Return False if there is no memory for it."""
        job = self._by_token.get(token)
        if job is None:
            log.info("vhost '%s': a reply to a job that is forgotten is dropped", self._vhost)
            return True
        properties, body = message.properties, message.body
        size = len(properties) + len(body)
        if len(body) > self._most_reply or not self._has_space(size - job.reply_bytes(), job):
            log.warning("job '%s' in vhost '%s': a reply of %d bytes is refused", text(job.id), self._vhost, size)
            return False
        self._store.begin()
        try:
            self._remove_reply(job)
            for piece in reply_pieces(job.number, properties, body):
                job.reply.append(TakenId(piece, JOBS_ID, self._records.next_number(), 0, True))
                self._store.add_id(job.reply[-1])
        finally:
            self._store.end()
        self._reply_bytes += job.reply_bytes()
        return True

    def _has_space(self, size: int, job: Job) -> bool:
        """Return whether further replies of that size may be kept. Jobs that ended first are forgotten for it."""
        while self._reply_bytes + size > self._most_replies:
            ended = [each for each in self._ended.values() if each.reply and each is not job]
            if not ended:
                return False
            self._remove(ended[0])
        return True

    def _remove_reply(self, job: Job) -> None:
        self._reply_bytes -= job.reply_bytes()
        for piece in job.reply:
            self._store.remove_id(piece)
        job.reply.clear()

    # --- fates of copies ----------------------------------------------------------------------------------------------

    def follows(self, message: Message) -> bool:
        return is_marked(message) and is_job(message)

    def _came(self, subject: Job, copy: Copy, queue: str, move: JobMove | None) -> bool:
        job = subject
        if len(job.places) >= MOST_PLACES:
            log.warning("job '%s' in vhost '%s' has too many copies", text(job.id), self._vhost)
            return False
        earlier = -_entry_count(copy)
        if move is None:
            # A failed copy that comes back.
            earlier += 0 if job.failure is None else job.failure.attempts
            job.failed = max(job.failed - 1, 0)
            if not job.failed:
                job.failure = None
        elif move.known is not None and move.copy is not None:
            if not move.reason and move.queue == queue:
                # A copy that moves to the end of its queue is a new entry, which gets the counts of the other.
                earlier = move.known.earlier
            else:
                earlier += _attempts(move.known, move.copy, move.reason)
        due_ms = 0 if queue else copy.deadline_ms
        job.places.append(Place(queue, copy.holder_id, copy.sequence, due_ms, self._is_stored(copy), earlier))
        self._changed(job)
        return True

    def _succeeded(self, subject: Job, copy: Copy) -> None:
        subject.done += 1
        self._changed(subject)

    def _failed(self, subject: Job, known: Place, copy: Copy, queue: str, reason: str) -> None:
        attempts = _attempts(known, copy, reason)
        subject.fail(queue, CANCELLED if subject.cancelled else reason, _deaths(copy.message), attempts)
        self._changed(subject)

    def _letter_sent(self, subject: Job, letter: Message) -> None:
        subject.letter_sent(_deaths(letter))

    def _move_ended(self, subject: Job, move: JobMove, reason: str) -> None:
        if self._by_id.get(subject.id) is not subject:
            return
        copy, place = move.copy, move.known
        if not move.arrived and not move.failed and copy is not None and place is not None:
            attempts = _attempts(place, copy, move.reason)
            subject.fail(move.queue, reason or move.reason, _deaths(copy.message), attempts)
        self._changed(subject)

    def _find(self, message: Message) -> Job | None:
        if not is_marked(message) or not is_job(message):
            return None
        return self._by_id.get(job_id(message))

    def _release(self, copy: Copy, queue: str) -> tuple[Job, Place] | None:
        job = self._find(copy.message)
        place = None if job is None else job.remove_place(copy.holder_id, copy.sequence, queue)
        if job is None or place is None:
            return None
        if queue:
            job.queue = queue
        return job, place

    # --- states -------------------------------------------------------------------------------------------------------

    def _changed(self, job: Job) -> None:
        """Store the state of a job that is not on its way, and act on its end."""
        if any(move.subject is job for move in self._moves):
            return
        if not job.places and not job.done and not job.failed:
            # No queue has accepted it.
            self._remove(job)
            return
        if job.places and job.has_ended:
            job.ended_ms = 0
            self._ended.pop(job.id, None)
            self._expiries.remove(job.id)
        elif not job.places and not job.has_ended:
            job.ended_ms = self._clock.wall_ms()
            self._ended[job.id] = job
            self._expiries.set(job.id, job.expires_ms)
        before = job.record
        self._store.begin()
        try:
            if before is not None:
                self._store.remove_id(before)
            self._store.add_id(job.new_record())
        finally:
            self._store.end()
        if job.has_ended:
            self._notify(job)

    def _notify(self, job: Job) -> None:
        for on_end in self._watchers.pop(job, ()):
            on_end()

    def _remove(self, job: Job) -> None:
        """Forget a job, with its records."""
        self._by_id.pop(job.id, None)
        self._by_token.pop(job.token, None)
        self._ended.pop(job.id, None)
        self._expiries.remove(job.id)
        self._store.begin()
        try:
            self._remove_reply(job)
            if job.record is not None:
                self._store.remove_id(job.record)
        finally:
            self._store.end()
        self.set_active(bool(self._by_id))
        self._notify(job)

    def remove(self, job: Job) -> None:
        """Forget a job that has ended, with its reply."""
        if self._by_id.get(job.id) is job:
            self._remove(job)

    def _remove_ended(self) -> bool:
        """Forget the job that ended first; return False if none has ended."""
        for job in self._ended.values():
            self._remove(job)
            return True
        return False

    def _expire(self, id_: bytes) -> None:
        self._remove(self._by_id[id_])

    # --- start and end ------------------------------------------------------------------------------------------------

    def recover(self, record: TakenId, reply: list[TakenId]) -> None:
        """Add a stored job. Copies that are not stored are lost."""
        job = recovered_job(record, {queue.id: name for name, queue in self._queues().items() if queue.id})
        job.reply = reply
        self._reply_bytes += job.reply_bytes()
        self._add(job)
        if job.has_ended:
            self._ended[job.id] = job
            self._expiries.set(job.id, job.expires_ms)
        elif not all(place.stored for place in job.places):
            self._clock.after(0, lambda: self.lose(job, [place for place in job.places if not place.stored]))

    def lose(self, job: Job, lost: list[Place]) -> None:
        """Record that copies of a job are lost, which failed with that."""
        if self._by_id.get(job.id) is job and lost:
            job.places = [place for place in job.places if place not in lost]
            for place in lost:
                job.fail(place.queue, LOST, b"")
            self._changed(job)

    def inherit(self, other: "Jobs") -> None:
        """Take over the jobs of a broker in memory that has ended, as if they had been stored."""
        for job in other.all():
            self.recover(job.new_record(), job.reply)

    def stored_count(self) -> int:
        """Return the number of stored records."""
        return sum([len(job.reply) + 1 for job in self._by_id.values()])

    def close(self) -> None:
        """Remove all jobs, because the vhost is deleted."""
        for job in self.all():
            self._remove(job)
        self.discard()

    def discard(self) -> None:
        """Discard all jobs from memory, without changing the store, after the broker has ended."""
        self._closed = True
        for job in self.all():
            self._notify(job)
        # These refer to the vhost, or to this object.
        self._queues = dict
        self._publish = _discard
        self._replies = JobReplies(_ignore)
        self._by_id.clear()
        self._by_token.clear()
        self._ended.clear()
        self._expiries.close()
        self._watchers.clear()
        self._end()


def _attempts(place: Place, copy: Copy, reason: str) -> int:
    """Return the number of deliveries of a copy that leaves its place. reason: of its death, if it dies."""
    # The entry does not count the delivery that ends with the rejection.
    return max(0, place.earlier + _entry_count(copy) + (reason == REJECTED))


def _entry_count(copy: Copy) -> int:
    return copy.acquired_count if isinstance(copy, Entry) else 0


def _deaths(message: Message) -> bytes:
    """Return the encoded value of the x-death header, empty if there is none."""
    properties = message.properties
    at = find_header(properties, b"x-death")
    return properties[at : value_end(properties, at)] if at else b""


def _discard(message: Message, destinations: Iterable[Destination]) -> bool:
    return True


def _ignore(token: str, message: Message) -> bool:
    return True
