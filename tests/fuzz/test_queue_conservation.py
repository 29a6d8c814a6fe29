"""All kinds of operations on a queue: no message is lost or duplicated, and each leaves for a known reason and in
order.

A state machine performs operations of publishers, consumers and the clock, and keeps its own record of the place of
each message. See effort.py for the number of examples.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.message.message import Message
from tests.broker.death_tables import deaths_of
from tests.broker.queueing import Subscriber, clock_of, declare, make_vhost, message
from tests.fuzz.effort import effort


@dataclass
class Copy:
    """A published message. place: ready, held, or the reason why it left. rank: its order among ready messages."""

    body: bytes
    priority: int
    deadline_ms: int
    place: str = "ready"
    rank: tuple[int, int] = (0, 0)
    high: bool = False
    returns: int = 0
    new: bool = True


class Machine(RuleBasedStateMachine):
    @initialize(
        quorum=st.booleans(),
        single=st.sampled_from([False, False, True]),
        priorities=st.sampled_from([0, 0, 3]),
        length=st.sampled_from([None, None, None, 0, 1, 3]),
        max_bytes=st.sampled_from([None, None, None, None, 12]),
        overflow=st.sampled_from(["drop-head", "drop-head", "reject-publish", "reject-publish-dlx"]),
        ttl=st.sampled_from([None, None, None, None, 0, 40]),
        limit=st.integers(-1, 2),
    )
    def declare(
        self,
        quorum: bool,
        single: bool,
        priorities: int,
        length: int | None,
        max_bytes: int | None,
        overflow: str,
        ttl: int | None,
        limit: int,
    ) -> None:
        arguments: dict[str, object] = {"dead_letter_exchange": "", "dead_letter_routing_key": "grave"}
        optional = {"max_length": length, "max_length_bytes": max_bytes, "message_ttl": ttl}
        arguments |= {name: value for name, value in optional.items() if value is not None}
        if single:
            arguments["single_active_consumer"] = True
        if quorum:
            arguments |= {"queue_type": "quorum", "delivery_limit": limit}
        elif priorities:
            arguments["max_priority"] = priorities
        self.limited = length is not None or max_bytes is not None
        if overflow != "drop-head":
            arguments["overflow"] = overflow
        self.overflow = "drop-head" if quorum and overflow == "reject-publish-dlx" else overflow
        self.vhost = make_vhost()
        self.clock = clock_of(self.vhost)
        self.grave = declare(self.vhost, "grave")
        self.queue = declare(self.vhost, "q", **arguments)
        self.quorum, self.single, self.priorities, self.limit, self.ttl = quorum, single, priorities, limit, ttl
        self.copies: list[Copy] = []
        self.consumers: list[Witness] = []
        self.held: list[Entry] = []
        self.delivered: list[tuple[Copy, Subscriber | None]] = []
        self.came = 0
        self.counts: Counter[str] = Counter()
        self.add(2, no_ack=False, priority=0)

    # --- the record
    # -----------------------------------------------------------------------------------------------------

    def copy_of(self, message: Message) -> Copy:
        return self.copies[int(message.body.split(b".")[0])]

    def ready(self, copy: Copy, again: bool = False) -> None:
        """Make the copy ready: classic queues restore its old position, quorum queues put requeued messages first."""
        number = int(copy.body.split(b".")[0])
        self.came += 1
        copy.place = "ready"
        copy.high = self.quorum and copy.priority > 4 and not copy.returns
        if not self.quorum:
            copy.rank = (-min(copy.priority, self.priorities), number)
        else:
            copy.rank = (0 if again else 1, self.came)

    def on_delivery(self, message: Message, entry: Entry | None, redelivered: bool, to: Subscriber | None) -> None:
        copy = self.copy_of(message)
        assert copy.place == "ready", copy
        assert redelivered == (copy.returns > 0)
        self.delivered.append((copy, to))
        copy.place = "held" if entry is not None else "handed"
        how = "deliver" if to is not None else "get"
        self.counts[how if entry is not None else f"{how}_no_ack"] += 1
        if entry is not None:
            self.held.append(entry)

    def settle_account(self) -> None:
        """After each step, check the messages that died, and whether deliveries were in order."""
        self.clock.advance(0)
        delivered, self.delivered = self.delivered, []
        while self.grave.ready.count:
            letter = self.grave.ready.pop().message
            copy = self.copy_of(letter)
            assert letter.died
            reason = deaths_of(letter)[0].reason
            assert copy.place == {"rejected": "rejecting", "delivery_limit": "returning"}.get(reason, "ready")
            copy.place = reason
            if reason == "expired":
                assert 0 < copy.deadline_ms <= self.clock.now_ms()
            elif reason == "maxlen":
                assert self.limited
                assert self.overflow == "drop-head"
            elif reason == "delivery_limit":
                assert self.quorum
                assert copy.returns > self.limit >= 0
        for copy in self.copies:
            assert copy.place not in ("rejecting", "returning"), copy
        for i, (copy, to) in enumerate(delivered):
            assert copy.new or not 0 < copy.deadline_ms <= self.clock.now_ms(), "delivered too late"
            # If a quorum queue delivers several messages at once, each consumer gets its messages together.
            later = [other for other, whose in delivered[i + 1 :] if whose is to or not self.quorum]
            waiting = [other for other in self.copies if other.place == "ready"] + later
            earlier = [other for other in waiting if other.rank < copy.rank]
            if self.quorum:
                earlier = [other for other in earlier if other.rank[0] == 0 or other.high == copy.high]
            assert not earlier, "delivered out of order"
        for copy in self.copies:
            copy.new = False

    # --- operations
    # -----------------------------------------------------------------------------------------------------

    @rule(
        paddings=st.lists(st.integers(0, 6), min_size=1, max_size=5),
        priority=st.sampled_from([0, 0, 1, 5, 9]),
        expiration=st.sampled_from([-1, -1, -1, -1, 0, 10, 100]),
    )
    def publish(self, paddings: list[int], priority: int, expiration: int) -> None:
        times = [ms for ms in (self.ttl, expiration) if ms is not None and ms >= 0]
        deadline_ms = self.clock.now_ms() + min(times) if times else 0
        for padding in paddings:
            copy = Copy(b"%d." % len(self.copies) + b"x" * padding, priority, deadline_ms)
            self.copies.append(copy)
            self.ready(copy)
            if not self.queue.publish(message(copy.body, "q", priority, expiration)):
                assert self.overflow != "drop-head"
                assert self.limited
                copy.place = "refused"
                if self.overflow == "reject-publish-dlx":
                    letter = self.grave.ready.pop().message
                    assert letter.body == copy.body
            self.settle_account()

    def add(self, limit: int, no_ack: bool, priority: int) -> None:
        one = Witness(self.queue, str(len(self.consumers)), limit, no_ack=no_ack, priority=priority)
        one.on_delivery = self.on_delivery
        self.consumers.append(one)
        one.subscribe()
        self.settle_account()

    @rule(
        limit=st.sampled_from([0, 1, 2, 1000]),
        no_ack=st.sampled_from([False, False, False, True]),
        priority=st.integers(0, 2),
    )
    @precondition(lambda self: len(self.consumers) < 4)
    def subscribe(self, limit: int, no_ack: bool, priority: int) -> None:
        self.add(limit, no_ack, priority)

    @rule(data=st.data())
    @precondition(lambda self: self.consumers)
    def cancel(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.consumers))
        self.consumers.remove(one)
        one.cancel()
        self.settle_account()

    @rule(data=st.data(), limit=st.sampled_from([0, 1, 3, 1000]))
    @precondition(lambda self: self.consumers)
    def relimit(self, data: st.DataObject, limit: int) -> None:
        data.draw(st.sampled_from(self.consumers)).relimit(limit)
        self.settle_account()

    @rule(no_ack=st.booleans())
    @precondition(lambda self: not self.single)
    def get(self, no_ack: bool) -> None:
        entry = self.queue.get(no_ack)
        if entry is not None:
            self.on_delivery(entry.message, None if no_ack else entry, entry.redelivered, None)
        self.settle_account()

    def taken(self, data: st.DataObject) -> list[Entry]:
        """Return some of the held messages, in any order."""
        chosen = data.draw(st.lists(st.sampled_from(self.held), min_size=1, max_size=4, unique=True))
        self.held = [entry for entry in self.held if entry not in chosen]
        return chosen

    @rule(data=st.data(), how=st.sampled_from(["ack", "requeue", "requeue", "reclaim", "reject"]))
    @precondition(lambda self: self.held)
    def settle(self, data: st.DataObject, how: str) -> None:
        entries = self.taken(data)
        copies = [self.copy_of(entry.message) for entry in entries]
        if how == "ack":
            for entry, copy in zip(entries, copies, strict=True):
                copy.place = "acked"
                self.queue.ack(entry)
        elif how == "reject":
            for copy in copies:
                copy.place = "rejecting"
            self.queue.reject(entries)
        else:
            for copy in copies:
                copy.returns += 1
                if self.quorum and 0 <= self.limit < copy.returns:
                    copy.place = "returning"
                else:
                    self.ready(copy, how == "reclaim" or self.limit >= 0)
            (self.queue.reclaim if how == "reclaim" else self.queue.requeue)(entries)
        self.settle_account()

    @rule(data=st.data())
    @precondition(lambda self: self.held)
    def settle_more(self, data: st.DataObject) -> None:
        self.settle(data, "requeue")

    @rule(really=st.sampled_from([False, False, False, True]))
    def purge(self, really: bool) -> None:
        if not really:
            return
        count = self.queue.purge()
        purged = [copy for copy in self.copies if copy.place == "ready"]
        assert count == len(purged)
        for copy in purged:
            copy.place = "purged"
        self.settle_account()

    @rule(ms=st.sampled_from([1, 10, 40, 100]))
    def wait(self, ms: int) -> None:
        self.clock.advance(ms)
        self.settle_account()

    # --- invariants
    # -----------------------------------------------------------------------------------------------------

    @invariant()
    def everything_is_in_one_place(self) -> None:
        if not hasattr(self, "queue"):
            return
        queue = self.queue
        line = [self.copy_of(entry.message) for entry in queue.ready]
        assert sorted(copy.body for copy in line) == sorted(c.body for c in self.copies if c.place == "ready")
        assert queue.ready_count == len(line)
        assert queue.ready.size == sum(len(copy.body) for copy in line)
        assert queue.unacked_count == len(self.held) == sum(copy.place == "held" for copy in self.copies)
        if not self.quorum:
            assert [copy.rank for copy in line] == sorted(copy.rank for copy in line)

    @invariant()
    def everything_is_counted(self) -> None:
        if not hasattr(self, "queue"):
            return
        places = Counter(copy.place for copy in self.copies)
        found = dict(zip(self.queue.counter_names, self.queue.counters(), strict=True))
        self.counts |= {"publish": len(self.copies), "ack": places["acked"]}
        for name in ("publish", "deliver", "deliver_no_ack", "get", "get_no_ack", "ack"):
            assert found[name] == self.counts[name], name
        assert (found["messages_ready"], found["messages_unacknowledged"]) == (places["ready"], places["held"])
        assert self.queue.outstanding.size == sum(len(entry.message.body) for entry in self.held)
        letters = sum(
            count for (_, strategy, _), count in self.vhost.totals.dead_letters.items() if strategy != "disabled"
        )
        died = sum(places[reason] for reason in ("expired", "rejected", "maxlen", "delivery_limit"))
        refused = places["refused"] if self.overflow == "reject-publish-dlx" else 0
        assert letters == died + refused

    def may_take(self, one: Subscriber) -> bool:
        """Return whether a consumer may receive: with a single active consumer only that one, and only until one of
        higher priority waits to take over.
        """
        active = self.queue.consumers.active
        if not self.single or active is None:
            return not self.single
        waiting = self.quorum and any(other.priority > active.priority for other in self.consumers)
        return one is active and not waiting

    @invariant()
    def consumers_are_busy_or_nothing_waits(self) -> None:
        for one in getattr(self, "consumers", []):
            assert one.unacked == sum(entry.consumer is one for entry in self.held)
            if self.may_take(one) and one.can_take():
                assert self.queue.ready_count == 0, "a consumer waits although something is ready"

    @invariant()
    def limits_hold(self) -> None:
        if not hasattr(self, "queue"):
            return
        settings, line = self.queue.settings, self.queue.ready
        if settings.overflow == "drop-head":
            assert settings.max_length < 0 or line.count <= settings.max_length
            assert settings.max_length_bytes < 0 or line.size <= settings.max_length_bytes
        if line.count:
            assert not 0 < line.head().deadline_ms <= self.clock.now_ms(), "the head is overdue"

    def teardown(self) -> None:
        """Delete the queue in the end; the messages that it still holds are not delivered."""
        if not hasattr(self, "queue"):
            return
        self.vhost.delete_queue(self.queue)
        self.queue.requeue(self.held)
        assert (self.queue.ready_count, self.queue.unacked_count, self.grave.ready_count) == (0, 0, 0)
        assert self.clock.next_due_ms() is None
        assert all(one.unacked == 0 for one in self.consumers)


class Witness(Subscriber):
    """A subscriber that reports every delivery immediately."""

    on_delivery: Callable[[Message, Entry | None, bool, Subscriber | None], None]

    def deliver(self, entry: Entry) -> None:
        super().deliver(entry)
        self.on_delivery(entry.message, entry, entry.redelivered, self)

    def hand(self, message: Message, acquired_count: int, delivery_count: int) -> None:
        self.on_delivery(message, None, acquired_count > 0, self)


TestConservation = Machine.TestCase
TestConservation.settings = effort(200, steps=40)
