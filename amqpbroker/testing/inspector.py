"""Queries of tests about the broker's state, and the state that a failed assertion reports."""

import asyncio
import datetime
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from amqpbroker.amqp.connection import Connection
from amqpbroker.broker.broker import Broker
from amqpbroker.broker.queues.dead_letters.delivery_count import counted
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.groups.key import key_type, shown_key
from amqpbroker.broker.queues.groups.queue import GroupQueue
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.testing.batch_state import BatchState, batch_state
from amqpbroker.testing.checks import at_least, check_body, check_text, check_timeout
from amqpbroker.testing.hints import did_you_mean
from amqpbroker.testing.job_state import JobState, job_state
from amqpbroker.testing.message import Message, seen, where
from amqpbroker.testing.recorder import Newest, Publish, Recorder, Refusal
from amqpbroker.testing.wanted import Wanted
from amqpbroker.wire.values import text

#: Interval in seconds between two checks of an awaited condition.
POLL_S = 0.002

#: Number of queues, messages or errors of a kind that a failed assertion shows.
SHOWN = 20


@dataclass(frozen=True, slots=True)
class QueueState:
    """The state of a queue.

    - `vhost`, `name`: names of the vhost and the queue, as text.
    - `ready`: number of messages that are ready for delivery.
    - `unacked`: number of messages that are delivered and not acknowledged.
    - `consumers`: number of consumers.
    """

    vhost: str
    name: str
    ready: int
    unacked: int
    consumers: int

    def __str__(self) -> str:
        return f"ready={self.ready} unacked={self.unacked} consumers={self.consumers}"


@dataclass(frozen=True, slots=True)
class LockedMessage:
    """A message that is delivered and not settled.

    - `message`: the message as it was delivered.
    - `consumer`: consumer tag; None after basic.get.
    - `connection`, `channel`: name of the connection, and number of the channel.
    - `delivery_tag`: delivery tag on that channel.
    - `action`: effect of the lock when it runs out: "return", "cancel" or "close"; None without a lock.
    - `ms_left`: milliseconds of the broker's clock until the lock runs out; None without a lock.
    """

    message: Message
    consumer: str | None
    connection: str
    channel: int
    delivery_tag: int
    action: str | None
    ms_left: int | None


@dataclass(frozen=True, slots=True)
class GroupState:
    """A message group of a queue.

    - `key`: key of the group, as text.
    - `key_type`: "string", "integer" or "other"; keys of other types are shown in hexadecimal.
    - `state`: "free", "busy", "waiting" (its first message is delayed), "parked" or "closed".
    - `messages`: messages that are ready, in order.
    """

    key: str
    key_type: str
    state: str
    messages: list[Message]


class Messages(list[Message]):
    """A list of messages whose `repr`, if it is empty, shows the messages that there are instead."""

    def __init__(self, messages: Iterable[Message], instead: str) -> None:
        super().__init__(messages)
        self._instead = instead

    def __repr__(self) -> str:
        return super().__repr__() if self else f"[] ({self._instead})"


class Inspector:
    """Queries about one broker, for the thread of its loop only. vhost: None for all vhosts.

    faults: returns the text on active faults, empty without faults.
    """

    def __init__(self, broker: Broker, recorder: Recorder, faults: Callable[[], str]) -> None:
        self._broker = broker
        self._recorder = recorder
        self._faults = faults

    # --- queues -------------------------------------------------------------------------------------------------------

    def queues(self, vhost: str | None = None) -> list[QueueState]:
        """Return the state of all queues, by vhost and name."""
        found = [_state(name, queue) for name, queue in self._queues(vhost)]
        return sorted(found, key=lambda state: (state.vhost, state.name))

    def messages(self, queue: str, vhost: str | None = None) -> Messages:
        """Return the messages that are ready in a queue, in the order of their delivery.

        Raises AssertionError if there is no such queue, ValueError if several vhosts have one.
        """
        name, found = self.need(queue, vhost)
        shown = [self._seen(entry, name, found) for entry in found.ready_entries()]
        return Messages(shown, f"queue {queue!r} has {_state(name, found)}")

    def delayed(self, queue: str, vhost: str | None = None) -> Messages:
        """Return the delayed messages of a queue, in the order of their due times.

        Raises AssertionError if there is no such queue, ValueError if several vhosts have one.
        """
        name, found = self.need(queue, vhost)
        in_order = sorted(found.delayed_entries(), key=lambda item: (item[0], item[1].sequence))
        shown = [replace(self._seen(entry, name, found), due=_time(due_ms)) for due_ms, entry in in_order]
        return Messages(shown, f"queue {queue!r} has {_state(name, found)}")

    def need(self, queue: str, vhost: str | None) -> tuple[str, Queue]:
        """Return the queue and its vhost. Raises AssertionError, ValueError."""
        check_text("queue", queue)
        check_text("vhost", vhost, optional=True)
        name, found = self._find(queue, vhost)
        if found is None:
            raise AssertionError(f"{self._no_queue(queue, vhost)}\n{self.report(vhost)}")
        return name, found

    def has_queue(self, queue: str, vhost: str | None) -> bool:
        """Return whether there is such a queue. Raises ValueError if several vhosts have one."""
        return self._find(queue, vhost)[1] is not None

    def _seen(self, entry: Entry, vhost: str, queue: Queue) -> Message:
        compat = self._broker.config.compat
        message = counted(entry.message, queue, entry.acquired_count, entry.delivery_count, compat)
        return seen(message, vhost, (queue.name,), entry.redelivered)

    @staticmethod
    def _stored(entry: Entry, queue: Queue) -> Entry:
        """Return a delivered entry with its message, which a stream keeps until its retention removes it."""
        return (queue.ready_entry(entry.sequence) or entry) if queue.kind.retains else entry

    def locked(self, queue: str, vhost: str | None = None) -> list[LockedMessage]:
        """Return the messages of a queue that are delivered and not settled. Raises errors as `messages`."""
        name, found = self.need(queue, vhost)
        now_ms = self._broker.clock.now_ms()
        locked = []
        for session in self._broker.sessions:
            assert isinstance(session, Connection)
            for number, channel in sorted(session.channels.items()):
                for tag, entry in channel.unacked.entries.items():
                    if entry.queue is not found:
                        continue
                    lock = channel.locks.find(tag)
                    locked.append(
                        LockedMessage(
                            self._seen(self._stored(entry, found), name, found),
                            None if entry.consumer is None else entry.consumer.tag,
                            session.name,
                            number,
                            tag,
                            None if lock is None else lock.terms.action,
                            None if lock is None else lock.due_ms - now_ms,
                        )
                    )
        return locked

    def batch(self, id_: str, vhost: str | None = None) -> BatchState:
        """Return the state of a batch. Raises AssertionError, ValueError; see `batch_state`."""
        return batch_state(self._broker.vhosts, id_, vhost)

    def job(self, id_: str, vhost: str | None = None, user: str | None = None) -> JobState:
        """Return the state of a job. Raises AssertionError, ValueError; see `job_state`."""
        return job_state(self._broker, id_, vhost, user)

    def groups(self, queue: str, vhost: str | None = None) -> list[GroupState]:
        """Return the message groups of a queue, none if it has no groups. Raises errors as `messages`."""
        name, found = self.need(queue, vhost)
        if not isinstance(found, GroupQueue):
            return []
        groups = found.line.groups
        ready: dict[bytes | None, list[Message]] = {}
        for entry in found.ready_entries():
            ready.setdefault(groups.key(entry.message), []).append(self._seen(entry, name, found))
        return [
            GroupState(shown_key(each.key), key_type(each.key), groups.state_name(each), ready.get(each.key, []))
            for each in groups.all()
            if each.key is not None
        ]

    async def wait_until(
        self,
        queue: str,
        ready: int | None = None,
        unacked: int | None = None,
        consumers: int | None = None,
        vhost: str | None = None,
        timeout_s: float = 5,
    ) -> QueueState:
        """Return the state of a queue once it exists and has these numbers.

        Raises AssertionError with the actual state, ValueError for an invalid argument.
        """
        check_text("queue", queue)
        check_text("vhost", vhost, optional=True)
        check_timeout(timeout_s)
        wanted = {"ready": ready, "unacked": unacked, "consumers": consumers}
        wanted = {name: number for name, number in wanted.items() if number is not None}
        for name, number in wanted.items():
            at_least(name, number, 0)
        state: QueueState | None = None

        def holds() -> bool:
            nonlocal state
            name, found = self._find(queue, vhost)
            state = None if found is None else _state(name, found)
            return state is not None and all(getattr(state, key) == number for key, number in wanted.items())

        if await until(holds, timeout_s):
            assert state is not None
            return state
        if state is None:
            raise AssertionError(f"after {timeout_s:g} s {self._no_queue(queue, vhost)}\n{self.report(vhost)}")
        numbers = " ".join(f"{name}={number}" for name, number in wanted.items())
        raise AssertionError(
            f"after {timeout_s:g} s queue {queue!r} has {state}, not {numbers}\n{self.report(vhost, but=queue)}"
        )

    def _queues(self, vhost: str | None) -> Iterator[tuple[str, Queue]]:
        for name, each in self._broker.vhosts.items():
            if vhost in (None, name):
                for queue in each.queues.values():
                    yield name, queue

    def _find(self, queue: str, vhost: str | None) -> tuple[str, Queue | None]:
        """Return the queue of that name, and its vhost. Raises ValueError if several vhosts have one."""
        found = [(name, each) for name, each in self._queues(vhost) if each.name == queue]
        if len(found) > 1:
            vhosts = " and ".join(repr(name) for name, _ in found)
            raise ValueError(f"the vhosts {vhosts} have a queue {queue!r}: choose one, such as vhost={found[0][0]!r}")
        return found[0] if found else ("", None)

    def _no_queue(self, queue: str, vhost: str | None) -> str:
        """Return the text that there is no such queue, with the vhost, queue or exchange that was probably meant."""
        vhosts = self._broker.vhosts
        if vhost is not None and vhost not in vhosts:
            return f"there is no vhost {vhost!r}{did_you_mean(vhost, vhosts, quoted=True)}"
        text = f"there is no queue {queue!r}{_in(vhost)}"
        elsewhere = [name for name, each in self._queues(None) if each.name == queue]
        if elsewhere:
            return f"{text}; there is one{_in(elsewhere[0])}"
        hint = did_you_mean(queue, [each.name for _, each in self._queues(vhost)], quoted=True)
        if not hint and any(queue in each.exchanges for name, each in vhosts.items() if vhost in (None, name)):
            hint = "; there is an exchange of this name, so name a queue that is bound to it"
        return text + hint

    # --- publishes and errors -----------------------------------------------------------------------------------------

    def published(
        self,
        exchange: str | None = None,
        routing_key: str | None = None,
        vhost: str | None = None,
        body: bytes | None = None,
    ) -> Messages:
        """Return the messages that clients published, oldest first. See `amqpbroker.testing.Broker.published`."""
        wanted = Wanted(exchange, routing_key, body)
        found = [_seen(one) for one in self._publishes(vhost) if wanted.fits(one.message)]
        return Messages(found, self._published_instead(wanted, vhost))

    def _publishes(self, vhost: str | None) -> Iterator[Publish]:
        return (one for one in self._recorder.publishes if vhost in (None, one.vhost))

    async def find_published(
        self,
        exchange: str | None = None,
        routing_key: str | None = None,
        vhost: str | None = None,
        body: bytes | None = None,
        count: int | None = None,
        timeout_s: float = 5,
    ) -> Messages:
        """Return `published`; if `count` is given, once there are this many.

        Raises AssertionError if there are fewer after the timeout, or more; ValueError for an invalid argument.
        """
        for name, value in (("exchange", exchange), ("routing_key", routing_key), ("vhost", vhost)):
            check_text(name, value, optional=True)
        check_body(body)
        if count is None:
            return self.published(exchange, routing_key, vhost, body)
        at_least("count", count, 0)
        check_timeout(timeout_s)
        wanted = Wanted(exchange, routing_key, body)
        looked_at = -1
        enough = False

        def holds() -> bool:
            nonlocal looked_at, enough
            if looked_at != self._recorder.publishes.added:
                looked_at = self._recorder.publishes.added
                enough = sum(wanted.fits(one.message) for one in self._publishes(vhost)) >= count
            return enough

        await until(holds, timeout_s)
        found = self.published(exchange, routing_key, vhost, body)
        if len(found) == count:
            return found
        waited = f"after {timeout_s:g} s " if len(found) < count else ""
        were = "message was" if len(found) == 1 else "messages were"
        lines = [f"{waited}{len(found)} {were} published{wanted}{_in(vhost)}, not {count}"]
        lines += [f"  {message!r}" for message in found[:SHOWN]]
        if len(found) < count:
            lines += wanted.near_misses([_seen(one) for one in self._publishes(vhost)], SHOWN)
        raise AssertionError("\n".join((*lines, self._published_instead(wanted, vhost), self.report(vhost))))

    def unroutable(self, vhost: str | None = None) -> list[Message]:
        """Return the published messages that were routed to no queue, oldest first."""
        return [_seen(one) for one in self._recorder.unroutable if vhost in (None, one.vhost)]

    def refusals(self, vhost: str | None = None) -> list[Refusal]:
        """Return the errors that closed clients' channels and connections, oldest first."""
        return [one for one in self._recorder.refusals if vhost in (None, one.vhost)]

    def _published_instead(self, wanted: "Wanted", vhost: str | None) -> str:
        """Return the number of publishes to each exchange and routing key, and a name that was probably meant."""
        counts = Counter((one.message.exchange, text(one.message.routing_key)) for one in self._publishes(vhost))
        if not counts:
            return "nothing was published"
        shown = ", ".join(f"{count} to {where(*place)}" for place, count in counts.most_common(SHOWN))
        more = ", and others" if len(counts) > SHOWN else ""
        return f"published so far: {shown}{more}{_discarded(self._recorder.publishes)}{wanted.hint(counts)}"

    # --- text of failed assertions ------------------------------------------------------------------------------------

    def report(self, vhost: str | None = None, but: str | None = None) -> str:
        """Return the queues except one, unroutable messages, errors of clients and faults, as lines of text."""
        queues = [state for state in self.queues(vhost) if state.name != but]
        lines = ["no other queue is there" if but else "no queue is there"]
        if queues:
            lines = ["other queues:" if but else "queues:"]
            lines += [f"  {state.name} {state}{_in(state.vhost) if vhost is None else ''}" for state in queues[:SHOWN]]
            if len(queues) > SHOWN:
                lines.append(f"  and {len(queues) - SHOWN} others")
        refusals = self.refusals(vhost)
        if refusals:
            lines.append("errors of clients:")
            lines += [f"  {refusal}" for refusal in refusals[-SHOWN:]]
        unroutable = self.unroutable(vhost)
        if unroutable:
            lines.append("unroutable messages:")
            lines += [f"  {message!r}{self._meant(message)}" for message in unroutable[-SHOWN:]]
        return "\n".join([*lines, *filter(None, [self._faults()])])

    def _meant(self, message: Message) -> str:
        """Return a hint with the queue that a publish to the default exchange probably meant, empty without one."""
        if message.exchange:
            return ""
        names = [queue.name for _, queue in self._queues(message.vhost)]
        return "" if message.routing_key in names else did_you_mean(message.routing_key, names, quoted=True)


async def until(holds: Callable[[], bool], timeout_s: float) -> bool:
    """Return True once a condition holds, or False after the timeout in real time: the broker's clock may be frozen."""
    end_s = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > end_s:
            return False
        await asyncio.sleep(POLL_S)
    return True


def _time(due_ms: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(due_ms / 1000, datetime.UTC)


def _state(vhost: str, queue: Queue) -> QueueState:
    return QueueState(vhost, queue.name, queue.ready_count, queue.unacked_count, queue.consumer_count)


def _seen(one: Publish) -> Message:
    return seen(one.message, one.vhost, one.queues)


def _in(vhost: str | None) -> str:
    return "" if vhost is None else f" in vhost {vhost!r}"


def _discarded(newest: Newest[Publish]) -> str:
    return f" (and {newest.discarded} earlier ones, which are no longer remembered)" if newest.discarded else ""
