"""Planted faults of queues: lines, paging, expiry, limits, returns, consumers, dead letters."""

from tests.simulation.planted.fault import Planted

QUEUES = (
    # --- lines and pages ----------------------------------------------------------------------------------------------
    Planted("a requeued message at the end", "fifo_line.py", "merge(self.line, front)", "self.line.extend(front)"),
    Planted(
        "an off-by-one in a page",
        "fifo_line.py",
        "pages.append(Page([], positions[start:stop], sequences[start:stop], times))",
        "pages.append(Page([], positions[start : stop - 1], sequences[start : stop - 1], times))",
    ),
    Planted(
        "a page dropped before it is read",
        "fifo_line.py",
        "if page.is_empty:\n            self._pages.popleft()",
        "if True:\n            self._pages.popleft()",
    ),
    Planted(
        "a tail before its pages",
        "fifo_line.py",
        "if self.line or self._pages:\n                self._page_tail(pager)\n            else:",
        "if True:\n                self._page_in()\n            else:",
    ),
    Planted(
        "a page behind a returned message",
        "fifo_line.py",
        "if self._is_before(max([entry.sequence for entry in entries])):",
        "if False:",
    ),
    Planted(
        "a returned priority that is never delivered",
        "priority_line.py",
        "self._line(level).requeue(group)\n            self.mask |= 1 << level",
        "self._line(level).requeue(group)",
    ),
    Planted(
        "priorities lost by a restart",
        "priority_line.py",
        "level = level_of(priority)",
        "level = level_of(-1)",
    ),
    Planted(
        "bytes of a quorum queue that stay counted",
        "quorum_lines.py",
        "self._advance(1)\n        self.count -= 1\n        self.size -= entry.message.size",
        "self._advance(1)\n        self.count -= 1",
    ),
    Planted(
        "a queue that is read once more, and not again",
        "read_retry.py",
        "if self._failed:\n            self._arm(read_again)",
        "if self._failed:\n            pass",
    ),
    Planted(
        "a large purge freed in part",
        "deferred_free.py",
        "            if self._departures or self._lines:\n                self._arm()",
        "            pass",
    ),
    Planted(
        "messages that outlive their queue",
        "local_queue.py",
        "        self.returns.close()\n        self.purge()\n",
        "        self.returns.close()\n",
    ),
    # --- expiry -------------------------------------------------------------------------------------------------------
    Planted("a TTL too short", "expiry.py", "<= now_ms:", "<= now_ms + 500:"),
    Planted(
        "a TTL kept for the head before",
        "expiry.py",
        "if timer is not None and timer.due_ms <= due_ms:",
        "if timer is not None:",
    ),
    Planted(
        "a returned message that never expires",
        "dispatcher.py",
        "                self._expiry.added(entry)\n        self.ready.requeue(entries)",
        "                pass\n        self.ready.requeue(entries)",
    ),
    Planted(
        "a restored message that never expires",
        "local_queue.py",
        "self.expiry.recovered(len(copies.deadlines_ms) - copies.deadlines_ms.count(0))",
        "pass",
    ),
    Planted(
        "a delay too short",
        "held.py",
        "self.hold(message, until_ms - ahead_ms, timed)",
        "self.hold(message, until_ms - ahead_ms - 500, timed)",
    ),
    Planted(
        "a restored message behind the head that never expires",
        "expiry.py",
        "self.count += count\n        if self._deadlines is not None:\n            self._deadlines.rebuild()",
        "self.count += count",
    ),
    Planted(
        "a deadline added behind later ones",
        "deadlines.py",
        "heapq.heappush(self._heap, item)",
        "self._heap.append(item)",
    ),
    Planted(
        "another message of a page removed",
        "pages.py",
        "del self.positions[index]",
        "del self.positions[max(index - 1, 0)]",
    ),
    Planted(
        "a delayed message that waits for another after a restart",
        "held.py",
        "    def recovered(self) -> None:\n        self._arm()",
        "    def recovered(self) -> None:\n        pass",
    ),
    Planted(
        "a delayed message that is released and kept",
        "held.py",
        "            self._release(message)\n            self._store.settle(copy)",
        "            self._release(message)",
    ),
    Planted(
        "delayed messages out of their order",
        "held.py",
        "        heapq.heapify(rest)\n",
        "        rest.reverse()\n",
    ),
    Planted(
        "a retry too early",
        "retry_delay.py",
        "        if not self.jitter:\n            return delay_ms",
        "        return delay_ms // 2",
    ),
    Planted(
        "a retry that never comes",
        "delayed_messages.py",
        "        if readable:\n            self._arm()",
        "        pass",
    ),
    Planted(
        "a retry that is late after a restart",
        "delayed_messages.py",
        "copies.dues_ms[index] - ahead_ms for",
        "copies.dues_ms[index] - ahead_ms + 500 for",
    ),
    Planted(
        "a used queue that expires",
        "queue_expiry.py",
        "if due_ms > self._clock.now_ms():",
        "if False:",
    ),
    Planted(
        "a queue that expires under its consumer",
        "local_queue.py",
        "if not self.closed and not self.consumers.all:",
        "if not self.closed:",
    ),
    Planted(
        "an unused queue that never expires",
        "local_queue.py",
        "            self.vhost.remove_queue(self)\n        else:\n            self.touch()",
        "            self.vhost.remove_queue(self)",
    ),
    # --- limits -------------------------------------------------------------------------------------------------------
    Planted(
        "a queue one message too short",
        "length_limit.py",
        "(0 <= settings.max_length < ready.waiting + more_count)",
        "(0 <= settings.max_length <= ready.waiting + more_count)",
    ),
    Planted(
        "a full queue that stays shut", "length_limit.py", "                self.shut = False", "                pass"
    ),
    Planted(
        "messages of a channel that has ended are lost",
        "returns.py",
        "        self._requeue(entries, True)",
        "        self._outstanding.settle_returned(entries)\n        self._ledger.discard(entries, DELETED)",
    ),
    Planted(
        "a limit that returned messages pass",
        "returns.py",
        'Drop messages over the limit, then deliver messages to consumers."""\n        self._limit.trim()\n',
        'Drop messages over the limit, then deliver messages to consumers."""\n',
    ),
    Planted(
        "a delivery limit one too low",
        "returns.py",
        "0 <= self._settings.delivery_limit < entry.delivery_count",
        "0 <= self._settings.delivery_limit <= entry.delivery_count",
    ),
    Planted(
        "a delivery that is not counted",
        "entry.py",
        "self.delivery_count += failed",
        "pass",
    ),
    # --- consumers ----------------------------------------------------------------------------------------------------
    Planted(
        "an acknowledgement not counted",
        "outstanding.py",
        "consumer.unacked -= 1\n        if self._counts_holders",
        "if self._counts_holders",
    ),
    Planted(
        "a return not counted",
        "outstanding.py",
        "            else:\n                consumer.unacked -= 1\n                if consumer is not latest:",
        "            else:\n                if consumer is not latest:",
    ),
    Planted(
        "bytes of an acknowledged message that stay counted",
        "outstanding.py",
        "self.count -= 1\n        self.size -= entry.message.size\n",
        "self.count -= 1\n",
    ),
    Planted(
        "a cancelled consumer that a queue never forgets",
        "outstanding.py",
        "self._former = [each for each in self._former if each.unacked]",
        "pass",
    ),
    Planted(
        "nobody offered what came back",
        "returns.py",
        "self._limit.trim()\n        self._dispatcher.offer_after_settling(consumers)",
        "self._limit.trim()",
    ),
    Planted(
        "a lost wake-up of a consumer",
        "local_queue.py",
        "                self.dispatcher.offer(consumer)\n            elif not consumer.ringed:\n"
        "                self.consumers.settled(consumer)\n\n    def ack_all",
        "                pass\n\n    def ack_all",
    ),
    Planted(
        "a consumer believed to be in the ring",
        "consumers.py",
        "ring.popleft()\n                consumer.ringed = False",
        "ring.popleft()",
    ),
    Planted(
        "nobody active after the active consumer",
        "consumers.py",
        "            self.active = None\n        if self.single_active:\n            self._elect()",
        "            self.active = None",
    ),
    Planted(
        "an active consumer that shares",
        "consumers.py",
        "            self.active = None\n        if self.single_active:\n            self._elect()",
        "            self.active = None\n            self.single_active = False\n            self.revive(self.all)",
    ),
    Planted(
        "a message got without acknowledgement that comes back",
        "local_queue.py",
        "self.got_no_ack += 1\n                self.ledger.acknowledge(entry)",
        "self.got_no_ack += 1",
    ),
    # --- dead letters -------------------------------------------------------------------------------------------------
    Planted(
        "a dead letter that leaves before it enters",
        "deadletter.py",
        "stored = followed or entry.position != NOT_STORED",
        "stored = False",
    ),
    Planted(
        "a dead letter to the first of several queues",
        "deadletter.py",
        "        for destination in destinations:\n            if not deaths",
        "        for destination in destinations[:1]:\n            if not deaths",
    ),
    Planted(
        "a rejection taken for a cycle",
        "deaths.py",
        'or (reason == b"group" and not follows):\n                return False',
        'or (reason == b"group" and not follows):\n                pass',
    ),
    Planted(
        "a second death that is not counted",
        "deaths.py",
        "count: int = read_i64_be(tables, behind - 8) + 1",
        "count: int = read_i64_be(tables, behind - 8)",
    ),
    Planted(
        "a dead letter that expires again",
        "dead_letter_builder.py",
        "set_headers(without_expiration(message.properties), deaths.headers(more))",
        "set_headers(message.properties, deaths.headers(more))",
    ),
    Planted(
        "a dropped message without its dead letter",
        "length_limit.py",
        "        self._ledger.dead_letter(dropped, MAXLEN)\n        self._expiry.expire()",
        "        self._ledger.discard(dropped)\n        self._expiry.expire()",
    ),
    # --- duplicates -------------------------------------------------------------------------------------------------
    Planted(
        "ids forgotten by a restart",
        "persistence.py",
        "unneeded = taken if keeper is None else keeper.recover_ids(taken)",
        "unneeded = taken",
    ),
    Planted(
        "a duplicate of a message in the queue",
        "queued_ids.py",
        "        return key in self._ids",
        "        return False",
    ),
    Planted(
        "an id remembered without its message",
        "deduplicating_queue.py",
        "            accepted = super().publish(message)\n            if accepted:",
        "            accepted = message.size % 2 == 0 or super().publish(message)\n            if accepted:",
    ),
    # --- last values ------------------------------------------------------------------------------------------------
    Planted(
        "a returned message although a newer one is delivered",
        "line.py",
        "elif entry.sequence < newest[key] or entry.sequence < values.newest(key):",
        "elif entry.sequence < newest[key]:",
    ),
    Planted(
        "a replacement that is not stored",
        "ledger.py",
        "        self.before -= 1\n        if self.stores and",
        "        self.before -= 1\n        if not self.stores and",
    ),
)
