"""The present states of jobs, from the places of their copies."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, final

from amqpbroker.broker.jobs.job import Job, Place
from amqpbroker.broker.queues.dead_letters.original_message import last_death
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.groups.group import GROUP
from amqpbroker.broker.queues.groups.letters import restored
from amqpbroker.broker.queues.groups.stopped_group import PARKED as PARKED_GROUP
from amqpbroker.broker.queues.groups.stopped_group import StoppedGroup
from amqpbroker.broker.queues.lines.pages import UnreadableError
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.session import Session
from amqpbroker.message.checksum import content_checksum
from amqpbroker.message.deaths import count_rejections
from amqpbroker.message.message import Message

#: States of jobs, from the least advanced one. A parked one does not advance by itself.
PARKED: Final = "parked"
DELAYED: Final = "delayed"
QUEUED: Final = "queued"
RETRYING: Final = "retrying"
RUNNING: Final = "running"
FAILED: Final = "failed"
DONE: Final = "done"
_ORDER: Final = (PARKED, DELAYED, QUEUED, RETRYING, RUNNING)

#: The most messages that are counted to find the position of a job, and those that are read at once.
MOST_AHEAD: Final = 1000
_STEP: Final = 100


class JobStatus(NamedTuple):
    """State of a job, or of one of its copies.

    queue: that has the copy, None if none has it. attempt: number of its deliveries, the present one included; 0 if it
    was not delivered, or that is unknown. until_ms: end of a delay; since_ms: start of the present delivery; both by
    the wall clock, 0 for none. consumer_tag, connection: of the consumer that has the message, None for none. group:
    the message group that must be redriven before the message is delivered, None for none.
    """

    state: str
    queue: str | None = None
    sequence: int = 0
    attempt: int = 0
    until_ms: int = 0
    since_ms: int = 0
    consumer_tag: str | None = None
    connection: str | None = None
    group: StoppedGroup | None = None


@final
class JobStatuses:
    """Finds the states of jobs of one vhost. Valid for one event loop iteration."""

    def __init__(self, queues: Mapping[str, Queue], sessions: Iterable[Session], ahead_ms: int) -> None:
        """ahead_ms: of the clock."""
        self._queues = queues
        self._sessions = sessions
        self._ahead_ms = ahead_ms
        #: The messages by queue and sequence; None after the first search in a queue.
        self._held: dict[str, dict[int, tuple[Entry, str]] | None] = {}
        self._due: dict[str, dict[int, tuple[int, Entry]] | None] = {}

    def of(self, job: Job) -> JobStatus:
        """Return the state of a job: that of its least advanced copy."""
        if not job.places:
            return JobStatus(FAILED if job.failed else DONE, job.queue or None)
        return min([self._of(place) for place in job.places], key=_rank)

    def latest(self, job: Job) -> JobStatus:
        """Return the state of the most advanced copy of a job that has not ended."""
        return max([self._of(place) for place in job.places], key=_rank)

    def ahead(self, job_status: JobStatus) -> int | None:
        """Return the number of messages before a ready one; None for any other, or if there are too many to count.

        None also in a queue with message groups, whose order of delivery depends on what consumers settle first.
        """
        queue = self._queues.get(job_status.queue or "")
        waits = job_status.state in (QUEUED, RETRYING) and not job_status.until_ms and job_status.group is None
        if queue is None or not waits or queue.settings.groups is not None:
            return None
        place = count = 0
        try:
            while count <= MOST_AHEAD and (some := queue.ready_following(place, _STEP)):
                for _, entry in some:
                    if entry.sequence == job_status.sequence:
                        return count if count <= MOST_AHEAD else None
                    count += 1
                place = some[-1][0]
        except UnreadableError:
            pass
        return None

    def cancel(self, job: Job) -> bool:
        """Remove all copies of a job, which fail then. Return False, and do nothing, unless all are ready.

        Raises UnreadableError.
        """
        found = []
        for place in job.places:
            queue = self._queues.get(place.queue)
            entry = None if queue is None else queue.ready_entry(place.sequence)
            if queue is None or entry is None:
                return False
            found.append((queue, entry))
        job.cancelled = True
        try:
            # The last ones first: without its first message, a parked message group delivers the others.
            for queue, entry in sorted(found, key=_sequence, reverse=True):
                queue.remove_ready(entry.sequence, content_checksum(entry.message))
        finally:
            job.cancelled = False
        return True

    def lost(self, job: Job) -> list[Place]:
        """Return the copies that are nowhere: they were settled while extensions were off. Raises UnreadableError."""
        return [place for place in job.places if self._is_lost(place)]

    def _is_lost(self, place: Place) -> bool:
        queue = self._queues.get(place.queue)
        if queue is None:
            # An exchange holds the copy.
            return False
        if queue.ready_entry(place.sequence) is not None or self._find_held(queue, place.sequence) is not None:
            return False
        return queue.delayed_entry(place.sequence) is None

    def _of(self, place: Place) -> JobStatus:
        queue = self._queues.get(place.queue)
        if queue is None:
            return JobStatus(DELAYED, None, until_ms=place.due_ms)
        try:
            ready = queue.ready_entry(place.sequence)
        except UnreadableError:
            ready = None
        if ready is not None:
            return self._of_ready(queue, place, ready)
        held = self._find_held(queue, place.sequence) if queue.unacked_count else None
        if held is not None:
            entry, connection = held
            tag = None if entry.consumer is None else entry.consumer.tag
            since_ms = entry.delivered_ms + self._ahead_ms
            attempt = _attempts(place, entry) + 1
            return JobStatus(RUNNING, queue.name, place.sequence, attempt, 0, since_ms, tag, connection)
        due = self._find_due(queue, place.sequence) if queue.delayed_count else None
        if due is not None:
            due_ms, entry = due
            state = RETRYING if _was_tried(place, entry) else DELAYED
            return JobStatus(state, queue.name, place.sequence, _attempts(place, entry), due_ms)
        return JobStatus(QUEUED, queue.name, place.sequence)

    def _of_ready(self, queue: Queue, place: Place, ready: Entry) -> JobStatus:
        state = RETRYING if _was_tried(place, ready) else QUEUED
        group = queue.stopped_group(ready.message)
        if group is None:
            group = self._followed_group(ready.message)
        elif group.state == PARKED_GROUP and group.first == place.sequence:
            state = PARKED
        return JobStatus(state, queue.name, place.sequence, _attempts(place, ready), group=group)

    def _followed_group(self, message: Message) -> StoppedGroup | None:
        """Return the stopped group that a message has followed to a dead letter queue, if it has."""
        death = last_death(message) if message.died else None
        left = None if death is None or death.reason != GROUP else self._queues.get(death.queue)
        groups = None if left is None else left.settings.groups
        return None if left is None or groups is None else left.stopped_group(restored(message, groups.header))

    def _find_held(self, queue: Queue, sequence: int) -> tuple[Entry, str] | None:
        """Return a delivered message, and the name of the connection that holds it."""
        if queue.name not in self._held:
            # Most requests are about a single job: an index of all messages would take much longer than the search.
            self._held[queue.name] = None
            for session in self._sessions:
                entry = session.find_held(queue, sequence)
                if entry is not None:
                    return entry, session.name
            return None
        index = self._held[queue.name]
        if index is None:
            index = self._held[queue.name] = {}
            for session in self._sessions:
                for entry in session.held(queue):
                    index[entry.sequence] = entry, session.name
        return index.get(sequence)

    def _find_due(self, queue: Queue, sequence: int) -> tuple[int, Entry] | None:
        """Return the due time of a delayed message, and the message."""
        try:
            if queue.name not in self._due:
                self._due[queue.name] = None
                return queue.delayed_entry(sequence)
            index = self._due[queue.name]
            if index is None:
                index = self._due[queue.name] = {}
                for due_ms, entry in queue.delayed_entries():
                    index[entry.sequence] = due_ms, entry
            return index.get(sequence)
        except UnreadableError:
            return None


def _attempts(place: Place, entry: Entry) -> int:
    """Return the number of earlier deliveries of a copy, also those in other queues and those before a redrive."""
    return max(0, place.earlier + max(0, entry.acquired_count))


def _was_tried(place: Place, entry: Entry) -> bool:
    """Return whether a copy was delivered before, also if that was before it was published again."""
    message = entry.message
    return _attempts(place, entry) > 0 or (message.died and count_rejections(message.properties) > 0)


def _sequence(found: tuple[Queue, Entry]) -> int:
    return found[1].sequence


def _rank(job_status: JobStatus) -> int:
    return _ORDER.index(job_status.state)
