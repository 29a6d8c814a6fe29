"""Queries of tests about the broker's state, and the state that a failed assertion reports."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.queues.delivery_count import counted
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.testing.message import Message, seen, where
from amqpbroker.testing.recorder import Newest, Publish, Recorder, Refusal
from amqpbroker.wire.values import text

#: How often is looked whether what a test waits for has come.
POLL_S = 0.002

#: At most so many of a kind are shown when a test fails.
SHOWN = 20


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue: how many messages are ready and how many unacknowledged, and how many consumers it has."""

    vhost: str
    name: str
    ready: int
    unacked: int
    consumers: int

    def __str__(self) -> str:
        return f"ready={self.ready} unacked={self.unacked} consumers={self.consumers}"


class Messages(list[Message]):
    """A list that, where it is empty, tells what there was instead."""

    def __init__(self, messages: Iterable[Message], instead: str) -> None:
        super().__init__(messages)
        self._instead = instead

    def __repr__(self) -> str:
        return super().__repr__() if self else f"[] ({self._instead})"


class Inspector:
    """On one broker. All of it is for the loop's thread. vhost: None for all of them.

    faults: tells what goes wrong on purpose; nothing if nothing does.
    """

    def __init__(self, broker: Broker, recorder: Recorder, faults: Callable[[], str]) -> None:
        self._broker = broker
        self._recorder = recorder
        self._faults = faults

    # --- queues -----------------------------------------------------------------------------------------------------

    def queues(self, vhost: str | None = None) -> list[QueueState]:
        """All, by vhost and name."""
        found = [_state(name, queue) for name, queue in self._queues(vhost)]
        return sorted(found, key=lambda state: (state.vhost, state.name))

    def messages(self, queue: str, vhost: str | None = None) -> Messages:
        """What is ready in a queue, in the order in which it would leave. Raises AssertionError if it is not there."""
        name, found = self._find(queue, vhost)
        if found is None:
            raise AssertionError(f"there is no queue {queue!r}{_in(vhost)}\n{self.report(vhost)}")
        compat = self._broker.config.compat
        shown = [
            seen(
                counted(entry.message, found, entry.acquired_count, entry.delivery_count, compat),
                name,
                (queue,),
                entry.redelivered,
            )
            for entry in found.ready_entries()
        ]
        return Messages(shown, f"queue {queue!r} has {_state(name, found)}")

    async def wait_until(
        self,
        queue: str,
        ready: int | None = None,
        unacked: int | None = None,
        consumers: int | None = None,
        vhost: str | None = None,
        timeout_s: float = 5,
    ) -> QueueState:
        """The queue, once it is there with these numbers. Raises AssertionError, which shows what is there."""
        wanted = {"ready": ready, "unacked": unacked, "consumers": consumers}
        wanted = {name: number for name, number in wanted.items() if number is not None}
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
            raise AssertionError(f"after {timeout_s:g} s there is no queue {queue!r}{_in(vhost)}\n{self.report(vhost)}")
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
        """The queue of that name, and its vhost. Raises ValueError if several have one."""
        found = [(name, each) for name, each in self._queues(vhost) if each.name == queue]
        if len(found) > 1:
            vhosts = " and ".join(repr(name) for name, _ in found)
            raise ValueError(f"there is a queue {queue!r} in the vhosts {vhosts}: say which with vhost=")
        return found[0] if found else ("", None)

    # --- what came by -----------------------------------------------------------------------------------------------

    def published(
        self, exchange: str | None = None, routing_key: str | None = None, vhost: str | None = None
    ) -> Messages:
        """What clients published, oldest first: to an exchange ("" is the default one), with a routing key."""
        found = [_seen(one) for one in self._publishes(exchange, routing_key, vhost)]
        return Messages(found, self._published_instead(vhost))

    def _publishes(self, exchange: str | None, routing_key: str | None, vhost: str | None) -> list[Publish]:
        return [
            one
            for one in self._recorder.publishes
            if vhost in (None, one.vhost)
            and exchange in (None, one.message.exchange)
            and routing_key in (None, text(one.message.routing_key))
        ]

    async def wait_for_published(
        self,
        count: int,
        exchange: str | None = None,
        routing_key: str | None = None,
        vhost: str | None = None,
        timeout_s: float = 5,
    ) -> Messages:
        """`published`, once these are `count`. Raises AssertionError if there are fewer in the end, or more."""
        looked_at = -1
        enough = False

        def holds() -> bool:
            nonlocal looked_at, enough
            if looked_at != self._recorder.publishes.added:
                looked_at = self._recorder.publishes.added
                enough = len(self._publishes(exchange, routing_key, vhost)) >= count
            return enough

        await until(holds, timeout_s)
        found = self.published(exchange, routing_key, vhost)
        if len(found) == count:
            return found
        wanted = "".join(
            [
                "" if exchange is None else f" to exchange {exchange!r}",
                "" if routing_key is None else f" with routing key {routing_key!r}",
                _in(vhost),
            ]
        )
        waited = f"after {timeout_s:g} s " if len(found) < count else ""
        got = f"{waited}{len(found)} messages were published{wanted}, not {count}"
        lines = [f"  {message!r}" for message in found[:SHOWN]]
        raise AssertionError("\n".join((got, *lines, self._published_instead(vhost), self.report(vhost))))

    def unroutable(self, vhost: str | None = None) -> list[Message]:
        """What clients published and no queue got, oldest first."""
        return [_seen(one) for one in self._recorder.unroutable if vhost in (None, one.vhost)]

    def refusals(self, vhost: str | None = None) -> list[Refusal]:
        """What closed clients' channels and connections, oldest first."""
        return [one for one in self._recorder.refusals if vhost in (None, one.vhost)]

    def _published_instead(self, vhost: str | None) -> str:
        counts = Counter(
            where(one.message.exchange, text(one.message.routing_key))
            for one in self._recorder.publishes
            if vhost in (None, one.vhost)
        )
        if not counts:
            return "nothing was published"
        shown = ", ".join(f"{count} to {place}" for place, count in counts.most_common(SHOWN))
        more = ", and others" if len(counts) > SHOWN else ""
        return f"published were {shown}{more}{_discarded(self._recorder.publishes)}"

    # --- what a failing test shows ----------------------------------------------------------------------------------

    def report(self, vhost: str | None = None, but: str | None = None) -> str:
        """The queues, but for one, and what went wrong."""
        queues = [state for state in self.queues(vhost) if state.name != but]
        lines = ["no other queue is there" if but else "no queue is there"]
        if queues:
            lines = ["other queues:" if but else "queues:"]
            lines += [f"  {state.name} {state}{_in(state.vhost) if vhost is None else ''}" for state in queues[:SHOWN]]
            if len(queues) > SHOWN:
                lines.append(f"  and {len(queues) - SHOWN} others")
        refusals = self.refusals(vhost)
        if refusals:
            lines.append("clients were refused:")
            lines += [f"  {refusal}" for refusal in refusals[-SHOWN:]]
        unroutable = self.unroutable(vhost)
        if unroutable:
            lines.append("no queue got:")
            lines += [f"  {message!r}" for message in unroutable[-SHOWN:]]
        return "\n".join([*lines, *filter(None, [self._faults()])])


async def until(holds: Callable[[], bool], timeout_s: float) -> bool:
    """Whether it holds before the time is over. The machine's time: the broker's may stand still."""
    end_s = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > end_s:
            return False
        await asyncio.sleep(POLL_S)
    return True


def _state(vhost: str, queue: Queue) -> QueueState:
    return QueueState(vhost, queue.name, queue.ready_count, queue.unacked_count, queue.consumer_count)


def _seen(one: Publish) -> Message:
    return seen(one.message, one.vhost, one.queues)


def _in(vhost: str | None) -> str:
    return "" if vhost is None else f" in vhost {vhost!r}"


def _discarded(newest: Newest[Publish]) -> str:
    return f" (and {newest.discarded} before, which are not remembered any more)" if newest.discarded else ""
