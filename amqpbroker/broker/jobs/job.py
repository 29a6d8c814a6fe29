"""The state of one job."""

from typing import Final, NamedTuple, final

from amqpbroker.broker.jobs.request import job_key
from amqpbroker.store.keys import JOB, JOB_NAMES, JOB_NUMBERS, PIECE_HEAD, PLACE, REPLY
from amqpbroker.store.message_id_record import MessageIdRecord
from amqpbroker.store.record import JOBS_ID
from amqpbroker.wire.values import text

#: The most copies of a job that are followed.
MOST_PLACES: Final = 1000
#: The most first queues of a job that are remembered, so that its record is not too large.
_MOST_FIRST: Final = 64

#: An id record can have 65,535 bytes.
_PIECE_BYTES: Final = 60_000
#: The most bytes of x-death that are kept.
_DEATHS_BYTES: Final = 8_192


class Place(NamedTuple):
    """Place of a copy that is not settled.

    queue: its name, "" for an exchange that holds messages back. holder_id, sequence: as in `Copy`. due_ms: when a
    message that an exchange holds back is due, by the wall clock. stored: the copy survives a restart. earlier: number
    of deliveries of the copy that its entry does not count, because they were in other queues, or before its death;
    less than 0 if the entry counts a delivery that was none.
    """

    queue: str
    holder_id: int
    sequence: int
    due_ms: int
    stored: bool
    earlier: int = 0


class Failure(NamedTuple):
    """The last failure of a copy.

    queue: "" if there was none. deaths: value of the x-death header, encoded. attempts: number of its deliveries.
    """

    queue: str
    reason: str
    deaths: bytes
    attempts: int = 0


@final
class Job:
    """A message that is followed, with all its copies.

    id: its message id. number: of its records. user: published it. key: of user and id. named: its messages name the
    user; False for a job that was stored before they did. exchange, routing_key: it was published with. token:
    see `Request`. created_ms, ended_ms, expires_ms: since the epoch; the latter are 0 before the end. places: of the
    copies that are not settled. done, failed: numbers of copies that were acknowledged, and that failed. queue: the one
    that had the last settled copy. first_queues: those that it was published to; is_routed: they are known. reply: the
    stored pieces of the worker's reply. cancelled: its copies are being removed at the request of a user. record: the
    stored state.
    """

    def __init__(self, vhost: str, id_: bytes, number: int, user: str, created_ms: int, ttl_ms: int) -> None:
        self.vhost: str = vhost
        self.id: bytes = id_
        self.number: int = number
        self.user: str = user
        self.key: bytes = job_key(user, id_)
        self.named: bool = True
        self.created_ms: int = created_ms
        self.ttl_ms: int = ttl_ms
        self.exchange: str = ""
        self.routing_key: bytes = b""
        self.token: str = ""
        self.ended_ms: int = 0
        self.places: list[Place] = []
        self.done: int = 0
        self.failed: int = 0
        self.queue: str = ""
        self.first_queues: list[str] = []
        self.is_routed: bool = False
        self.failure: Failure | None = None
        self.reply: list[MessageIdRecord] = []
        self.cancelled: bool = False
        self.record: MessageIdRecord | None = None

    @property
    def expires_ms(self) -> int:
        """The time when the job is forgotten, 0 before its end."""
        return self.ended_ms + self.ttl_ms if self.ended_ms else 0

    @property
    def has_ended(self) -> bool:
        return self.ended_ms != 0

    @property
    def queues(self) -> list[str]:
        """Names of the queues that have copies; after the end, of the one that had the last copy."""
        names = {place.queue for place in self.places if place.queue}
        return sorted(names) if names else [self.queue] if self.queue else []

    @property
    def guards(self) -> list[str]:
        """Names of the queues that a user must be allowed to read to look up the job of another user."""
        return self.first_queues or self.queues

    def add_place(self, place: Place, is_published: bool) -> None:
        """Add a copy that is not settled. is_published: it comes from an exchange, not from a queue."""
        self.places.append(place)
        first = self.first_queues
        if is_published and not self.is_routed and place.queue and len(first) < _MOST_FIRST:
            first.append(place.queue)

    def remove_place(self, holder_id: int, sequence: int, queue: str) -> Place | None:
        """Remove and return the place of a copy, None if there is none.

        The number of a copy that an exchange holds back is not known after a restart.
        """
        found = -1
        for index, place in enumerate(self.places):
            if place.queue == queue:
                if place.sequence == sequence and place.holder_id == holder_id:
                    found = index
                    break
                if found < 0 and not queue:
                    found = index
        return self.places.pop(found) if found >= 0 else None

    def fail(self, queue: str, reason: str, deaths: bytes, attempts: int = 0) -> None:
        """Count a failed copy, which was delivered that often."""
        self.failed += 1
        self.failure = Failure(queue, reason, deaths if len(deaths) <= _DEATHS_BYTES else b"", attempts)

    def letter_sent(self, deaths: bytes) -> None:
        """Set the x-death header of the dead letter of the last failed copy."""
        if self.failure is not None and len(deaths) <= _DEATHS_BYTES:
            self.failure = self.failure._replace(deaths=deaths)

    # --- records ------------------------------------------------------------------------------------------------------

    def new_record(self) -> MessageIdRecord:
        """Return a record of the present state, and keep it."""
        places = self.places
        failure = self.failure or Failure("", "", b"")
        names = [
            _encoded(self.vhost),
            self.id,
            _encoded(self.user),
            _encoded(self.exchange),
            self.routing_key,
            self.token.encode(),
            _encoded(self.queue),
            _encoded(failure.queue),
            failure.reason.encode(),
            failure.deaths,
        ]
        parts = [
            JOB,
            JOB_NUMBERS.pack(
                self.created_ms, self.ttl_ms, self.ended_ms, self.done, self.failed, failure.attempts, len(places)
            ),
            *[len(name).to_bytes(2, "big") + name for name in names],
            *[PLACE.pack(*place[1:]) for place in places],
        ]
        if self.named:
            first = [_encoded(name) for name in self.first_queues]
            parts += [len(first).to_bytes(2, "big"), *[len(name).to_bytes(2, "big") + name for name in first]]
        self.record = MessageIdRecord(b"".join(parts), JOBS_ID, self.number, self.expires_ms, True)
        return self.record

    def reply_bytes(self) -> int:
        """Return the memory of the reply."""
        return sum([len(piece.key) for piece in self.reply])

    def read_reply(self) -> tuple[bytes, bytes] | None:
        """Return properties and body of the worker's reply, None if there is none."""
        if not self.reply:
            return None
        joined = b"".join([piece.key[PIECE_HEAD.size :] for piece in self.reply])
        size = 4 + int.from_bytes(joined[:4], "big")
        return joined[4:size], joined[size:]


def recovered_job(record: MessageIdRecord, queues: dict[int, str]) -> Job:
    """Return the job that a record describes, without its reply. queues: names by id."""
    data = record.key
    created_ms, ttl_ms, ended_ms, done, failed, attempts, count = JOB_NUMBERS.unpack_from(data, 1)
    names, at = _names(data, 1 + JOB_NUMBERS.size, JOB_NAMES)
    job = Job(text(names[0]), names[1], record.sequence, text(names[2]), created_ms, ttl_ms)
    job.exchange, job.routing_key, job.token = text(names[3]), names[4], names[5].decode()
    job.queue = text(names[6])
    job.ended_ms, job.done, job.failed = ended_ms, done, failed
    if names[8]:
        job.failure = Failure(text(names[7]), names[8].decode(), names[9], attempts)
    for index in range(count):
        holder_id, sequence, due_ms, stored, earlier = PLACE.unpack_from(data, at + index * PLACE.size)
        job.places.append(Place(queues.get(holder_id, ""), holder_id, sequence, due_ms, stored != 0, earlier))
    at += count * PLACE.size
    job.named = len(data) > at
    if job.named:
        first, _ = _names(data, at + 2, int.from_bytes(data[at : at + 2], "big"))
        job.first_queues = [text(name) for name in first]
    job.is_routed = not job.named or bool(job.first_queues)
    job.record = record
    return job


def _names(data: bytes, at: int, count: int) -> tuple[list[bytes], int]:
    """Return that many names, each with its size in two bytes, and the end of the last one."""
    names = []
    for _ in range(count):
        size = int.from_bytes(data[at : at + 2], "big")
        names.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return names, at


def reply_pieces(number: int, properties: bytes, body: bytes) -> list[bytes]:
    """Return the keys of the records of a reply. number: of the job."""
    joined = len(properties).to_bytes(4, "big") + properties + body
    return [
        PIECE_HEAD.pack(REPLY, number, index) + joined[start : start + _PIECE_BYTES]
        for index, start in enumerate(range(0, len(joined), _PIECE_BYTES))
    ]


def piece_of(record: MessageIdRecord) -> tuple[int, int]:
    """Return the number of the job, and the index of the piece, of a record of a reply."""
    _, number, index = PIECE_HEAD.unpack_from(record.key, 0)
    return number, index


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
