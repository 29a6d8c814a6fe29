"""Batches of one vhost: counting their members, and sending the messages about them."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, final

from amqpbroker import errors
from amqpbroker.broker.batches.batch import Batch, Failure, decoded_failure, recovered_batch
from amqpbroker.broker.batches.due_batches import DueBatches
from amqpbroker.broker.batches.event_message import event_message
from amqpbroker.broker.batches.foreseen_batches import ForeseenBatches
from amqpbroker.broker.batches.member import FAILED, NAME_BYTES, OK, OPEN, Member, member, member_name
from amqpbroker.broker.batches.records import BatchRecords
from amqpbroker.broker.batches.request import (
    COMPLETE,
    DEATH,
    DEFAULT_TTL_MS,
    SUCCESS,
    Request,
    batch_id,
    check_ttl,
    member_key,
    outer_request,
    request_of,
)
from amqpbroker.broker.batches.succeeded_members import SucceededMembers
from amqpbroker.broker.batches.terms import Terms
from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.exchanges.routing import route
from amqpbroker.broker.tracking.copy_tracker import UNROUTABLE
from amqpbroker.broker.tracking.expiries import Expiries
from amqpbroker.broker.tracking.follower import LOST, Follower, Move, is_marked
from amqpbroker.broker.tracking.shares import Shares
from amqpbroker.broker.tracking.transaction_preview import TransactionPreview
from amqpbroker.clock import Clock
from amqpbroker.config import Config
from amqpbroker.message.message import Copy, Message
from amqpbroker.store.store import Store
from amqpbroker.wire.raw_headers import message_id
from amqpbroker.wire.values import text

if TYPE_CHECKING:
    from amqpbroker.broker.exchanges.exchange import Exchange

log = logging.getLogger(__name__)

#: Publishes a message to destinations; False if one of them refuses it.
Publish = Callable[[Message, Iterable[Destination]], bool]
#: A member on its way, of a batch and with a name.
BatchMove = Move[tuple[Batch, bytes], None]


@final
class Batches(Follower[tuple[Batch, bytes], None]):
    """The batches of one vhost, by id."""

    def __init__(
        self,
        vhost: str,
        exchanges: "Mapping[str, Exchange]",
        ignores_rejects: Callable[[str], bool],
        publish: Publish,
        clock: Clock,
        store: Store,
        config: Config,
        records: BatchRecords,
    ) -> None:
        """ignores_rejects(queue): see `Follower`."""
        super().__init__(ignores_rejects, store)
        self._vhost: str = vhost
        self._closed: bool = False
        self._exchanges = exchanges
        self._publish = publish
        self._clock: Clock = clock
        bounds = config.bounds
        self._shares: Shares = Shares("batches", vhost, bounds.batches, config.user_share)
        self._most_ttl_ms: int = config.batch_max_ttl_ms
        self._most_members: int = bounds.batch_members
        self._most_failures: int = bounds.batch_failures
        self._records: BatchRecords = records
        self._by_id: dict[bytes, Batch] = {}
        self._due: DueBatches = DueBatches(clock, bounds.batch_events, self._send_due)
        self._succeeded_members: SucceededMembers = SucceededMembers(
            clock, bounds.batch_removals, self._remove_succeeded
        )
        #: Number of members that are removed with an event: those of all batches in an iteration are few enough.
        self._most_at_once: int = max(1, bounds.batch_removals // bounds.batch_events)
        self._expiries: Expiries = Expiries(clock, self._expire)

    def __len__(self) -> int:
        return len(self._by_id)

    def all(self) -> list[Batch]:
        """Return the batches, oldest first."""
        return list(self._by_id.values())

    def find(self, id_: bytes) -> Batch | None:
        """Return the batch with that id."""
        return self._by_id.get(id_)

    @property
    def open_count(self) -> int:
        """The number of batches that have not ended in success."""
        return len(self._by_id) - self._shares.ended_count

    # --- publishing ---------------------------------------------------------------------------------------------------

    def request(self, message: Message, user: str) -> Request | None:
        """Return the headers of a message that a user publishes about its batch, None if it is for no batch.

        Raises AmqpError 406 if a header is invalid or contradicts the batch, and beyond the limits.
        """
        request = request_of(message, user, self._most_members)
        if request is not None:
            check_ttl(request, self._most_ttl_ms)
            self._check(request, message)
        return request

    def check_all(self, messages: list[TransactionPreview], user: str) -> list[tuple[str, bytes]]:
        """Return the targets, as `targets` does, of the members among messages that a user publishes together.

        Raises AmqpError 406 if they contradict their batches or exceed a limit.
        """
        foreseen: ForeseenBatches | None = None
        for each in messages:
            message = each.message
            request = request_of(message, user, self._most_members) if self.follows(message) else None
            if request is None:
                continue
            if foreseen is None:
                foreseen = ForeseenBatches(self._vhost, self._by_id, self._shares, user, self._most_members)
            foreseen.add(request, None if each.dropped or request.size == 0 else member_key(message))
        return [] if foreseen is None else self._targets_of(foreseen.terms())

    def targets(self, request: Request) -> list[tuple[str, bytes]]:
        """Return the exchanges and routing keys to which messages may be sent because of a member with these headers.

        They are those that the batch and its outer batch have with these headers.
        """
        batch = self._by_id.get(request.id)
        alone = Terms().joined(request)
        if batch is None:
            return self._targets_of([alone])
        if COMPLETE in batch.sent:
            # In a transaction, the batch may be forgotten before the member is published.
            return self._targets_of([batch.terms, alone])
        return self._targets_of([batch.terms.joined(request)])

    def _targets_of(self, all_terms: list[Terms]) -> list[tuple[str, bytes]]:
        """Return the targets of batches with these terms, and of their outer batches."""
        targets: dict[tuple[str, bytes], None] = {}
        for terms in all_terms:
            each = [terms]
            if terms.outer:
                outer = outer_request(terms.outer, "", self._most_members)
                known = self._by_id.get(outer.id)
                # Also the target beside the one of the outer batch, which may be forgotten before the message is sent.
                each += [Terms().joined(outer)] if known is None else [known.terms, Terms().joined(outer)]
            for one in each:
                if one.target is not None:
                    targets[one.target] = None
        return list(targets)

    def next_number(self) -> int:
        """Return a number for a member that has no message id."""
        return self._records.next_number()

    def publish(self, request: Request, message: Message, destinations: tuple[Destination, ...]) -> bool:
        """Publish a message for a batch, and count it if a queue accepts it. Return False if a queue refuses it."""
        return self._publish_for(request, message, destinations, self._publish)

    def _publish_for(
        self, request: Request, message: Message, destinations: tuple[Destination, ...], publish: Publish
    ) -> bool:
        """Publish a message for a batch with `publish`, and return what it returns."""
        self._store.begin()
        try:
            batch = self._opened(request)
            if not destinations:
                self.unroutable(message, request.user)
                return True
            if batch is None or request.size == 0:
                return publish(message, destinations)
            self.begin_publish(self._find(message))
            try:
                return self._publish_all(message, destinations, publish)
            finally:
                self.end_move("")
        finally:
            self._store.end()

    def _publish_all(self, message: Message, destinations: tuple[Destination, ...], publish: Publish) -> bool:
        accepted = publish(message, destinations)
        for destination in destinations:
            if destination.instant:
                reached = Copy(message, 0, 0, 0)
                self.entered(reached, destination.name)
                self.acknowledged(reached, destination.name)
        return accepted

    def unroutable(self, message: Message, user: str) -> None:
        if not self.follows(message):
            return
        request = request_of(message, user, self._most_members)
        batch = None if request is None else self._opened(request)
        key = member_key(message)
        if batch is None or request is None or request.size == 0 or key is None:
            return
        name = member_name(batch.number, key)
        if batch.members.get(name) is None and self._accepts(batch):
            self._change(batch, name, 0, 0, 1, Failure(message_id(message.properties), "", UNROUTABLE))

    def _check(self, request: Request, message: Message) -> None:
        """Raise AmqpError 406 if a message contradicts its batch or exceeds a limit."""
        batch = self._by_id.get(request.id)
        if batch is None:
            shares, user = self._shares, request.user
            if shares.is_full(user):
                has_share = shares.has_share(user)
                self._due.send_first(lambda each: each.is_complete and (not has_share or each.user == user))
            if shares.is_full(user):
                raise shares.refusal(user, shares.has_share(user))
            return
        if COMPLETE in batch.sent:
            return
        batch.terms.check(request, batch.total)
        if len(batch.members) >= self._most_members:
            identity = member_key(message)
            if identity is None or member_name(batch.number, identity) not in batch.members:
                raise errors.vhost_limit("members of a batch", self._most_members, self._vhost)

    def _opened(self, request: Request) -> Batch | None:
        """Return the batch of a message with these headers, which they complete; None beyond the limit."""
        batch = self._by_id.get(request.id)
        now_ms = self._clock.now_ms() + self._clock.ahead_ms
        if self._closed:
            return None
        if batch is None:
            if not self._make_space(request.user):
                log.warning(
                    "vhost '%s' has %d batches, and user '%s' has %d of them: batch '%s' is not counted",
                    self._vhost,
                    len(self._by_id),
                    request.user,
                    self._shares.count(request.user),
                    text(request.id),
                )
                return None
            batch = Batch(
                self._vhost,
                request.id,
                self.next_number(),
                request.user,
                now_ms,
                now_ms + min(DEFAULT_TTL_MS, self._most_ttl_ms),
            )
            self._add(batch)
        elif COMPLETE in batch.sent:
            return batch
        has_ttl = batch.terms.ttl_ms is not None
        changed = batch.terms.join(request) or batch.record is None
        if request.ttl_ms is not None and not has_ttl:
            batch.expires_ms = batch.created_ms + request.ttl_ms
            self._expiries.set(batch.id, batch.expires_ms)
        if changed:
            self._store_batch(batch)
        return batch

    def _add(self, batch: Batch) -> None:
        self._by_id[batch.id] = batch
        self._shares.add(batch.id, batch.user)
        self.set_active(True)
        self._expiries.set(batch.id, batch.expires_ms)

    def _make_space(self, user: str) -> bool:
        """Remove batches that have ended until the user may have a further one; return False if too few have."""
        while not self._shares.has_space(user):
            ended = self._shares.next_released(user)
            if ended is None:
                return False
            self._remove(self._by_id[ended])
        return True

    def _release_space(self, batch: Batch) -> None:
        """Release the space of a complete batch, unless an event is due; that of one with failed members later."""
        if batch.has_ended:
            self._shares.release(batch.id)
        elif COMPLETE in batch.sent and batch.failed:
            self._shares.release(batch.id, later=True)
        else:
            self._shares.hold(batch.id)

    # --- fates of copies ----------------------------------------------------------------------------------------------

    def follows(self, message: Message) -> bool:
        return is_marked(message) and batch_id(message) is not None

    def _came(self, subject: tuple[Batch, bytes], copy: Copy, queue: str, move: BatchMove | None) -> bool:
        batch, name = subject
        before = batch.members.get(name)
        if before is None and not (move is not None and self._accepts(batch)):
            return False
        if before is not None and before.outcome == OK:
            return False
        # A failed copy that comes back is not an additional one.
        comes_back = move is None or move.copy is None
        has_failed = comes_back and before is not None and before.failed_copies > 0
        self._count(batch, name, copy, 1, -1 if has_failed else 0, None)
        return True

    def _succeeded(self, subject: tuple[Batch, bytes], copy: Copy) -> None:
        self._count(*subject, copy, -1, 0, None)

    def _failed(self, subject: tuple[Batch, bytes], known: None, copy: Copy, queue: str, reason: str) -> None:
        failure: Failure | None = None
        if len(subject[0].failures) < self._most_failures:
            failure = Failure(message_id(copy.message.properties), queue, reason)
        self._count(*subject, copy, -1, 1, failure)

    def _left(self, subject: tuple[Batch, bytes], copy: Copy) -> None:
        self._count(*subject, copy, -1, 0, None)

    def _move_ended(self, subject: tuple[Batch, bytes], move: BatchMove, reason: str) -> None:
        batch, name = subject
        if move.failed or name not in batch.members:
            return
        copy = move.copy
        if not move.arrived and copy is not None:
            failure = Failure(message_id(copy.message.properties), move.queue, reason or move.reason)
            self._change(batch, name, 0, 0, 1, failure)
        else:
            self._change(batch, name, 0, 0, 0, None)

    def _release(self, copy: Copy, queue: str) -> tuple[tuple[Batch, bytes], None] | None:
        message = copy.message
        found = self._find(message)
        if found is None or (message.died and self._is_dead(message, queue)):
            return None
        batch, name = found
        now = batch.members.get(name)
        if now is None or not (now.stored_copies if self._is_stored(copy) else now.transient_copies):
            return None
        return found, None

    def _find(self, message: Message) -> tuple[Batch, bytes] | None:
        id_ = batch_id(message) if is_marked(message) else None
        batch = None if id_ is None else self._by_id.get(id_)
        key = None if batch is None else member_key(message)
        return None if batch is None or key is None else (batch, member_name(batch.number, key))

    def _accepts(self, batch: Batch) -> bool:
        """Return whether a batch may have a further member."""
        if COMPLETE in batch.sent:
            log.info("batch '%s' in vhost '%s' is complete: a late member is not counted", text(batch.id), self._vhost)
            return False
        if len(batch.members) >= self._most_members:
            log.warning("batch '%s' in vhost '%s' has too many members", text(batch.id), self._vhost)
            return False
        return True

    def _count(self, batch: Batch, name: bytes, copy: Copy, open_: int, failed: int, failure: Failure | None) -> None:
        if self._is_stored(copy):
            self._change(batch, name, open_, 0, failed, failure)
        else:
            self._change(batch, name, 0, open_, failed, failure)

    def _change(
        self, batch: Batch, name: bytes, stored: int, transient: int, failed: int, failure: Failure | None
    ) -> None:
        """Change the numbers of a member's copies, and its outcome if it is settled now."""
        before = batch.members.get(name)
        outcome = OPEN
        details = b""
        sequence = 0
        if before is not None:
            # The bytes that are the key in `members`, which has the first ones: equal ones would be a second copy.
            name = before.name
            outcome, sequence, details = before.outcome, before.sequence, before.key[NAME_BYTES:]
            stored += before.stored_copies
            transient += before.transient_copies
            failed += before.failed_copies
        is_settled = not (stored or transient or self._is_moving(batch, name))
        if is_settled:
            outcome = FAILED if failed else OK
        if failure is not None and not details and len(batch.failures) < self._most_failures:
            batch.failures[name] = failure
            details = failure.encoded()
        if outcome == OK:
            details = b""
        after = member(name, sequence or self.next_number(), outcome, failed, stored, transient, details)
        if before is not None and before.expires_ms == after.expires_ms and before.key == after.key:
            return
        self._store.begin()
        try:
            if before is not None:
                self._store.remove_id(before)
            batch.set_member(name, after)
            self._store.add_id(after)
        finally:
            self._store.end()
        self._check_events(batch)

    # --- events -------------------------------------------------------------------------------------------------------

    def _due_events(self, batch: Batch) -> list[str]:
        """Return the events that have occurred and are not sent, in order."""
        due = []
        if batch.has_failed and DEATH not in batch.sent:
            due.append(DEATH)
        if batch.is_complete and not self._is_moving(batch):
            if COMPLETE not in batch.sent:
                due.append(COMPLETE)
            if not batch.failed and SUCCESS not in batch.sent:
                due.append(SUCCESS)
        return due

    def _is_moving(self, batch: Batch, name: bytes | None = None) -> bool:
        """Return whether a copy of a member, or of any member, is on its way."""
        for move in self._moves:
            if move.subject is not None and not move.failed:
                moving, member_ = move.subject
                if moving is batch and name in (None, member_):
                    return True
        return False

    def _check_events(self, batch: Batch) -> None:
        """Send messages about the events of a batch soon, if there are any."""
        if COMPLETE in batch.sent and not batch.failed and not batch.has_ended:
            self._release_space(batch)
        if not batch.has_ended and (batch.is_complete or (batch.has_failed and DEATH not in batch.sent)):
            self._due.add(batch)

    def _send_due(self, batch: Batch) -> bool:
        """Send the messages about the events of a batch that are due. Return False if the target refuses one."""
        return all(self._send(batch, event) for event in self._due_events(batch))

    def _send(self, batch: Batch, event: str) -> bool:
        """Send the message about an event, and record that it is sent, as one operation for the store.

        Return False if the target refuses the message, which is sent again later.
        """
        self._store.begin()
        try:
            if batch.requests(event) and batch.terms.target is not None and not self._publish_event(batch, event):
                return False
            batch.mark_sent(event)
            if event != DEATH:
                if len(batch.members) <= self._most_at_once:
                    self._remove_members(batch, len(batch.members))
                else:
                    self._succeeded_members.add(batch)
            self._store_batch(batch)
            self._release_space(batch)
        finally:
            self._store.end()
        return True

    def _publish_event(self, batch: Batch, event: str) -> bool:
        exchange = self._exchanges.get(batch.terms.exchange or "")
        if exchange is None:
            log.warning(
                "batch '%s' in vhost '%s': the exchange '%s' is deleted; message about '%s' is dropped",
                text(batch.id),
                self._vhost,
                batch.terms.exchange,
                event,
            )
            return True
        message = event_message(batch, event)
        destinations = route(exchange, message, self._exchanges.get).destinations
        if exchange.duplicate_filter is not None:
            destinations = exchange.duplicate_filter.guard(exchange, message, destinations)
        exchange.count_published(len(destinations))
        if not destinations:
            log.warning(
                "batch '%s' in vhost '%s': the message about '%s' reaches no queue", text(batch.id), self._vhost, event
            )
        outer = request_of(message, batch.user, self._most_members)
        if outer is None:
            return self._publish_to_any(message, destinations)
        if not destinations:
            self.unroutable(message, batch.user)
            return True
        return self._publish_for(outer, message, destinations, self._publish_to_any)

    def _publish_to_any(self, message: Message, destinations: Iterable[Destination]) -> bool:
        """Publish a message about an event; return False if all destinations refuse it.

        If only some do, sending it again would double it in the others.
        """
        accepting: list[str] = []
        refusing: list[str] = []
        for destination in destinations:
            ends = destination.ends()
            # An exchange that drops duplicates passes the message on to several queues.
            partly = [end.name for end in ends if not end.refuses(*end.demand(message))] if len(ends) > 1 else []
            if self._publish(message, (destination,)):
                accepting.append(destination.name)
            else:
                accepting += partly
                refusing += [end.name for end in ends if end.name not in partly]
        if accepting and refusing:
            log.warning(
                "vhost '%s': message '%s' about a batch is dropped by full queues '%s'",
                self._vhost,
                text(message_id(message.properties)),
                "', '".join(refusing),
            )
        return bool(accepting) or not refusing

    def _remove_succeeded(self, batch: Batch, count: int) -> None:
        """Remove those of the first members that have succeeded. To the store, this is one operation."""
        self._store.begin()
        try:
            if self._remove_members(batch, count):
                self._store_batch(batch)
        finally:
            self._store.end()

    def _remove_members(self, batch: Batch, count: int) -> bool:
        """Remove those of the first members that have succeeded. Return whether any have; store the batch then."""
        taken = batch.remove_succeeded(count)
        for each in taken:
            self._store.remove_id(each)
        return bool(taken)

    # --- records, start and end ---------------------------------------------------------------------------------------

    def _store_batch(self, batch: Batch) -> None:
        before = batch.record
        if before is not None:
            self._store.remove_id(before)
        self._store.add_id(batch.new_record())
        self._check_events(batch)

    def _remove(self, batch: Batch) -> None:
        """Remove a batch with its records."""
        self._by_id.pop(batch.id, None)
        self._shares.remove(batch.id)
        self._due.remove(batch)
        self._succeeded_members.discard(batch)
        self._expiries.remove(batch.id)
        self._store.begin()
        try:
            for each in batch.members.values():
                self._store.remove_id(each)
            if batch.record is not None:
                self._store.remove_id(batch.record)
        finally:
            self._store.end()
        self.set_active(bool(self._by_id))

    def remove(self, batch: Batch) -> None:
        """Forget a batch: it sends no more messages, and its members in queues are ordinary messages."""
        if self._by_id.get(batch.id) is batch:
            self._remove(batch)

    def _expire(self, id_: bytes) -> None:
        batch = self._by_id[id_]
        if not batch.has_ended:
            log.info(
                "batch '%s' in vhost '%s' has expired: %d of %d members succeeded, %d failed",
                text(id_),
                self._vhost,
                batch.ok,
                max(batch.terms.size, batch.total),
                batch.failed,
            )
        self._remove(batch)

    def recover(self, batch: Batch, members: list[Member]) -> None:
        """Add a stored batch with its members. Copies that are not stored are lost."""
        for each in members:
            batch.set_member(each.name, each)
            details = each.key[NAME_BYTES:]
            if details:
                batch.failures[each.name] = decoded_failure(details)
        self._add(batch)
        self._release_space(batch)
        if COMPLETE in batch.sent:
            self._succeeded_members.add(batch)
        self._clock.after(0, lambda: self._lose(batch))

    def _lose(self, batch: Batch) -> None:
        """Count the copies that were not stored, and send the messages about events before the restart."""
        if self._by_id.get(batch.id) is not batch:
            return
        for name, each in list(batch.members.items()):
            count = each.transient_copies
            if count:
                self._change(batch, name, 0, -count, count, Failure(b"", "", LOST))
        self._check_events(batch)

    def inherit(self, other: "Batches") -> None:
        """Take over the batches of a broker in memory that has ended, as if they had been stored."""
        for batch in other.all():
            members = list(batch.members.values())
            self.recover(recovered_batch(batch.new_record()), members)

    def stored_count(self) -> int:
        """Return the number of stored records."""
        return sum([len(batch.members) + 1 for batch in self._by_id.values()])

    def close(self) -> None:
        """Remove all batches, because the vhost is deleted."""
        for batch in self.all():
            self._remove(batch)
        self.discard()

    def discard(self) -> None:
        """Discard all batches from memory, without changing the store, after the broker has ended."""
        self._closed = True
        # These refer to the vhost.
        self._exchanges = {}
        self._publish = _discard
        self._by_id.clear()
        self._shares.clear()
        self._due.close()
        self._succeeded_members.close()
        self._expiries.close()
        self._end()


def _discard(message: Message, destinations: Iterable[Destination]) -> bool:
    return True
