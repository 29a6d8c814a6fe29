"""Jobs of one vhost: following their copies, and keeping the replies of workers."""

import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final, final

from amqpbroker import errors
from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.jobs.deliveries import attempts_of, deaths_of, entry_count
from amqpbroker.broker.jobs.foreseen_jobs import ForeseenJobs
from amqpbroker.broker.jobs.job import MOST_PLACES, Job, Place, recovered_job
from amqpbroker.broker.jobs.kept_replies import KeptReplies
from amqpbroker.broker.jobs.records import JobRecords
from amqpbroker.broker.jobs.replies import JobReplies
from amqpbroker.broker.jobs.request import REPLY_PREFIX, Request, is_job, job_id, job_key, request_of, token_of, user_of
from amqpbroker.broker.jobs.watchers import Watchers
from amqpbroker.broker.tracking.copy_tracker import UNROUTABLE
from amqpbroker.broker.tracking.expiries import Expiries
from amqpbroker.broker.tracking.follower import LOST, Follower, Move, is_marked
from amqpbroker.broker.tracking.shares import Shares
from amqpbroker.broker.tracking.transaction_preview import TransactionPreview
from amqpbroker.clock import Clock
from amqpbroker.config import Config
from amqpbroker.message.message import Copy, Message
from amqpbroker.store.message_id_record import MessageIdRecord
from amqpbroker.store.store import Store
from amqpbroker.wire.properties import decode_properties
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
    """The jobs of one vhost, by user and id."""

    def __init__(
        self,
        vhost: str,
        queues: "Callable[[], Mapping[str, Queue]]",
        ignores_rejects: Callable[[str], bool],
        publish: Publish,
        clock: Clock,
        store: Store,
        config: Config,
        records: JobRecords,
    ) -> None:
        """queues(): returns those of the vhost. ignores_rejects(queue): see `Follower`."""
        super().__init__(ignores_rejects, store)
        self._vhost: str = vhost
        self._closed: bool = False
        self._queues = queues
        self._publish = publish
        self._clock: Clock = clock
        bounds = config.bounds
        self._most_ttl_ms: int = config.job_max_ttl_ms
        self._most_reply: int = bounds.job_reply_bytes
        self._shares: Shares = Shares("jobs", vhost, bounds.jobs, config.user_share)
        self._records: JobRecords = records
        self._replies: JobReplies = JobReplies(self._store_reply)
        #: By key, as of `job_key`.
        self._by_key: dict[bytes, Job] = {}
        self._replies_kept: KeptReplies = KeptReplies(vhost, store, config, records, self._remove_key)
        #: Jobs whose messages do not name their users, by id alone.
        self._unnamed: dict[bytes, Job] = {}
        self._by_token: dict[str, Job] = {}
        self._watchers: Watchers = Watchers()
        self._expiries: Expiries = Expiries(clock, self._remove_key)

    def __len__(self) -> int:
        return len(self._by_key)

    def all(self) -> list[Job]:
        """Return the jobs, oldest first."""
        return list(self._by_key.values())

    def find(self, id_: bytes, user: str) -> Job | None:
        """Return the user's job with that id."""
        return self._by_key.get(job_key(user, id_))

    def with_id(self, id_: bytes) -> list[Job]:
        """Return the jobs of all users with that id, oldest first."""
        return [job for job in self._by_key.values() if job.id == id_]

    def addressed(self, id_: bytes, reply_to: bytes) -> Job | None:
        """Return the job of any user that has not ended, with that id and that address for its replies."""
        job = self._by_token.get(token_of(reply_to))
        return job if job is not None and job.id == id_ and not job.has_ended else None

    @property
    def open_count(self) -> int:
        """The number of jobs that have not ended."""
        return len(self._by_key) - self._shares.ended_count

    def is_full(self, user: str) -> bool:
        """Return whether a further job of a user would be refused."""
        return self._shares.is_full(user)

    def watch(self, job: Job, on_end: Callable[[], None]) -> Callable[[], None]:
        """Call `on_end` once, when the job ends or is forgotten. Return a function that ends this earlier."""
        return self._watchers.watch(job, on_end)

    # --- publishing ---------------------------------------------------------------------------------------------------

    def request(self, message: Message, user: str, ends: int) -> Request | None:
        """Return the job that a published message asks for, None if it is no job.

        A message with the reply address of a job is a copy of it, because only its workers know the address.

        ends: number of its destinations. Raises AmqpError 406 if a header is invalid, and beyond the limits.
        """
        request = request_of(message, user, secrets.token_urlsafe(_TOKEN_BYTES), self._most_ttl_ms)
        if request is None:
            return None
        if ends > MOST_PLACES:
            raise errors.job_limit("copies of a job", MOST_PLACES, self._vhost)
        shared = self.addressed(request.id, decode_properties(message.properties).get("reply_to", b""))
        if shared is not None:
            return Request(request.id, shared.user, request.ttl_ms, shared.token, only_copy=True)
        job = self.find(request.id, user)
        if job is None or job.has_ended:
            if job is None and self.is_full(user):
                raise self._shares.refusal(user, self._shares.has_share(user))
            return request
        # A further copy of the same job, whose reply counts as well.
        return Request(request.id, request.user, request.ttl_ms, job.token if request.token else "")

    def check_all(self, messages: list[TransactionPreview], user: str) -> None:
        """Raise AmqpError 406 if messages exceed the number of jobs when the user publishes all of them."""
        foreseen: ForeseenJobs | None = None
        for each in messages:
            if each.dropped or not self.follows(each.message):
                continue
            if foreseen is None:
                foreseen = ForeseenJobs(self._by_key, self._shares, user)
            foreseen.add(job_key(user_of(each.message) or "", job_id(each.message)), each.ends)

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

    def unroutable(self, message: Message, user: str) -> None:
        if is_marked(message) and is_job(message):
            request = request_of(message, user_of(message) or user, "", self._most_ttl_ms)
            if request is not None:
                self._follow_unroutable(request, message)

    def _follow_unroutable(self, request: Request, message: Message) -> None:
        job = self._find(message)
        if job is not None and not job.has_ended:
            return
        job = self._opened(request, message)
        if job is not None:
            job.fail("", UNROUTABLE, b"")
            self._changed(job)

    def _opened(self, request: Request, message: Message) -> Job | None:
        """Return the job of a message, which may be a new one; None beyond the limit."""
        job = self.find(request.id, request.user)
        if self._closed or (job is not None and not job.has_ended):
            return job
        if request.only_copy:
            # The job has ended since the message was sent in a transaction.
            return None
        if job is not None:
            self._remove(job)
        if not self._make_space(request.user):
            log.warning(
                "vhost '%s' has %d jobs, and user '%s' has %d of them: job '%s' is not followed",
                self._vhost,
                len(self._by_key),
                request.user,
                self._shares.count(request.user),
                text(request.id),
            )
            return None
        number = self._records.next_number()
        job = Job(self._vhost, request.id, number, request.user, self._clock.wall_ms(), request.ttl_ms)
        job.exchange, job.routing_key, job.token = message.exchange, message.routing_key, request.token
        self._add(job)
        return job

    def _add(self, job: Job) -> None:
        self._by_key[job.key] = job
        if not job.named:
            self._unnamed[job.id] = job
        self._shares.add(job.key, job.user)
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
        if len(body) > self._most_reply or not self._replies_kept.make_space(job, size):
            log.warning("job '%s' in vhost '%s': a reply of %d bytes is refused", text(job.id), self._vhost, size)
            return False
        self._replies_kept.store(job, properties, body)
        return True

    # --- fates of copies ----------------------------------------------------------------------------------------------

    def follows(self, message: Message) -> bool:
        return is_marked(message) and is_job(message)

    def _came(self, subject: Job, copy: Copy, queue: str, move: JobMove | None) -> bool:
        job = subject
        if len(job.places) >= MOST_PLACES:
            log.warning("job '%s' in vhost '%s' has too many copies", text(job.id), self._vhost)
            return False
        earlier = -entry_count(copy)
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
                earlier += attempts_of(move.known, move.copy, move.reason)
        due_ms = 0 if queue else copy.deadline_ms + self._clock.ahead_ms
        place = Place(queue, copy.holder_id, copy.sequence, due_ms, self._is_stored(copy), earlier)
        job.add_place(place, is_published=move is not None and not move.queue)
        self._changed(job)
        return True

    def _succeeded(self, subject: Job, copy: Copy) -> None:
        subject.done += 1
        self._changed(subject)

    def _failed(self, subject: Job, known: Place, copy: Copy, queue: str, reason: str) -> None:
        attempts = attempts_of(known, copy, reason)
        subject.fail(queue, CANCELLED if subject.cancelled else reason, deaths_of(copy.message), attempts)
        self._changed(subject)

    def _letter_sent(self, subject: Job, letter: Message) -> None:
        subject.letter_sent(deaths_of(letter))

    def _move_ended(self, subject: Job, move: JobMove, reason: str) -> None:
        if self._by_key.get(subject.key) is not subject:
            return
        subject.is_routed = subject.is_routed or bool(subject.first_queues)
        copy, place = move.copy, move.known
        if not move.arrived and not move.failed and copy is not None and place is not None:
            attempts = attempts_of(place, copy, move.reason)
            subject.fail(move.queue, reason or move.reason, deaths_of(copy.message), attempts)
        self._changed(subject)

    def _find(self, message: Message) -> Job | None:
        if not is_marked(message) or not is_job(message):
            return None
        user = user_of(message)
        return self._unnamed.get(job_id(message)) if user is None else self.find(job_id(message), user)

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
            self._shares.hold(job.key)
            self._replies_kept.update(job)
            self._expiries.remove(job.key)
        elif not job.places and not job.has_ended:
            job.ended_ms = self._clock.now_ms() + self._clock.ahead_ms
            self._shares.release(job.key)
            self._replies_kept.update(job)
            self._expiries.set(job.key, job.expires_ms)
        before = job.record
        self._store.begin()
        try:
            if before is not None:
                self._store.remove_id(before)
            self._store.add_id(job.new_record())
        finally:
            self._store.end()
        if job.has_ended:
            self._watchers.notify(job)

    def _remove(self, job: Job) -> None:
        """Forget a job, with its records."""
        self._by_key.pop(job.key, None)
        if not job.named:
            self._unnamed.pop(job.id, None)
        self._by_token.pop(job.token, None)
        self._shares.remove(job.key)
        self._expiries.remove(job.key)
        self._store.begin()
        try:
            self._replies_kept.remove(job)
            if job.record is not None:
                self._store.remove_id(job.record)
        finally:
            self._store.end()
        self.set_active(bool(self._by_key))
        self._watchers.notify(job)

    def remove(self, job: Job) -> None:
        """Forget a job, with its reply. Its messages in queues are ordinary ones."""
        if self._by_key.get(job.key) is job:
            self._remove(job)

    def _make_space(self, user: str) -> bool:
        """Forget jobs that have ended until the user may have a further one; return False if too few have."""
        while not self._shares.has_space(user):
            ended = self._shares.next_released(user)
            if ended is None:
                return False
            self._remove_key(ended)
        return True

    def _remove_key(self, key: bytes) -> None:
        self._remove(self._by_key[key])

    # --- start and end ------------------------------------------------------------------------------------------------

    def recover(self, record: MessageIdRecord, reply: list[MessageIdRecord]) -> None:
        """Add a stored job. Copies that are not stored are lost."""
        job = recovered_job(record, {queue.id: name for name, queue in self._queues().items() if queue.id})
        job.reply = reply
        self._add(job)
        self._replies_kept.count(job)
        if job.has_ended:
            self._shares.release(job.key)
            self._expiries.set(job.key, job.expires_ms)
        elif not all(place.stored for place in job.places):
            self._clock.after(0, lambda: self.lose(job, [place for place in job.places if not place.stored]))

    def lose(self, job: Job, lost: list[Place]) -> None:
        """Record that copies of a job are lost, which failed with that."""
        if self._by_key.get(job.key) is job and lost:
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
        return sum([len(job.reply) + 1 for job in self._by_key.values()])

    def close(self) -> None:
        """Remove all jobs, because the vhost is deleted."""
        for job in self.all():
            self._remove(job)
        self.discard()

    def discard(self) -> None:
        """Discard all jobs from memory, without changing the store, after the broker has ended."""
        self._closed = True
        for job in self.all():
            self._watchers.notify(job)
        # These refer to the vhost, or to this object.
        self._queues = dict
        self._publish = _discard
        self._replies = JobReplies(_ignore)
        self._by_key.clear()
        self._unnamed.clear()
        self._by_token.clear()
        self._shares.clear()
        self._replies_kept.close()
        self._expiries.close()
        self._watchers.clear()
        self._end()


def _discard(message: Message, destinations: Iterable[Destination]) -> bool:
    return True


def _ignore(token: str, message: Message) -> bool:
    return True
