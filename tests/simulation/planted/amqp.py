"""Planted faults of the protocol: confirms, transactions, output, reading, heartbeats, channels."""

from tests.simulation.planted.fault import Planted

AMQP = (
    # --- publishing -------------------------------------------------------------------------------------------------
    Planted(
        "a confirm before its sync",
        "confirms.py",
        "if store.appended <= store.synced:\n            self._iterations.clear()",
        "if True:\n            self._iterations.clear()",
    ),
    Planted(
        "a confirm that nobody waits for",
        "answers.py",
        "self.awaiting_sync = bool(self._held) or (confirms is not None and confirms.outstanding)",
        "self.awaiting_sync = bool(self._held)",
    ),
    Planted(
        "a refused message that is confirmed",
        "confirms.py",
        "self._refused.append(self.published)",
        "pass",
    ),
    Planted(
        "a connection not told of a sync",
        "connection.py",
        "            if output.awaiting_sync:\n                self.client.storage.await_sync(self)",
        "            pass",
    ),
    Planted("a mandatory message not returned", "publishing.py", "if bits & MANDATORY:", "if bits & IMMEDIATE:"),
    Planted(
        "a commit that forgets the last message",
        "transaction.py",
        "publishes, self._publishes = self._publishes, []\n        settled",
        "publishes, self._publishes = self._publishes[:-1] or self._publishes, []\n        settled",
    ),
    Planted("a rollback that keeps", "transaction.py", "        self._publishes = []\n        back", "        back"),
    Planted(
        "a rollback that loses acknowledged messages",
        "channel.py",
        "        self.unacked.restore(back)\n",
        "",
    ),
    Planted(
        "routes remembered after a change",
        "publishing.py",
        "            self.routes.forget()\n            self._context",
        "            self._context",
    ),
    Planted(
        "a repeated publish by an old route",
        "publishing.py",
        "if repeat.epoch != self._vhost.route_epoch or self.content",
        "if self.content",
    ),
    Planted(
        "exchanges on the way remembered after a change",
        "routing.py",
        "self._stops.clear()",
        "pass",
    ),
    # --- deliveries -------------------------------------------------------------------------------------------------
    Planted(
        "a redelivery that does not say so",
        "delivery.py",
        "head.write(self._again if acquired_count else self._first)",
        "head.write(self._first)",
    ),
    Planted(
        "a consumer still stopped by a line that it left",
        "round_robin.py",
        "        for consumer in group:\n            consumer.left_waiting_list(self)\n",
        "",
    ),
    Planted(
        "a cancelled consumer left in its line",
        "consumers.py",
        "consumer.queue.remove_consumer(consumer)\n        consumer.leave_waiting_lists()",
        "consumer.queue.remove_consumer(consumer)",
    ),
    Planted(
        "a consumer not told that its queue is deleted",
        "consumers.py",
        "        self.notify_cancelled(consumer)\n        self.by_tag",
        "        self.by_tag",
    ),
    Planted(
        "an acknowledgement that makes no room on its channel",
        "unacked.py",
        "        if was_full:\n            self._divide()\n\n    def nack",
        "\n    def nack",
    ),
    Planted(
        "a basic.get that takes room of consumers",
        "unacked.py",
        "        if from_consumer:\n            self.settled += 1\n        else:",
        "        self.settled += 1\n        if not from_consumer:",
    ),
    Planted(
        "an acknowledgement of several without the last",
        "unacked.py",
        "            if number > tag:\n",
        "            if number >= tag:\n",
    ),
    # --- sockets ----------------------------------------------------------------------------------------------------
    Planted(
        "room never made again",
        "output.py",
        "        self.space = self._space_bytes\n        return parts",
        "        return parts",
    ),
    Planted(
        "output left when the socket was full",
        "transport.py",
        "        self._set_writable(True)",
        "        pass",
    ),
    Planted(
        "consumers without room that are never served",
        "connection.py",
        "        if len(output.waiting):\n            output.serve_waiting()",
        "        pass",
    ),
    Planted(
        "frames that waited for output left alone",
        "connection.py",
        "        parts = output.take()\n        if not self.status.state.held:\n            loop.read_on()\n",
        "        parts = output.take()\n",
    ),
    Planted(
        "an iteration without an end",
        "tick.py",
        "        for one in asked:\n            one.end_turn()",
        "        pass",
    ),
    Planted(
        "a socket not read on",
        "transport.py",
        "self._set_reading(connection.reading and not self._waits)",
        "pass",
    ),
    Planted(
        "a timer that fires no earlier",
        "timers.py",
        "            if self._due_ms <= due_ms:\n                return",
        "            return",
    ),
    Planted(
        "a client that the server never forgets",
        "clients.py",
        "        self._there.pop(client, None)\n",
        "",
    ),
    # --- the life of connections and channels -----------------------------------------------------------------------
    Planted(
        "a handshake timeout that is not cancelled",
        "closing.py",
        "        self._cancel_deadline()\n        if state",
        "        if state",
    ),
    Planted(
        "a silent client that may stay",
        "connection.py",
        "        self.closer.await_handshake(config.handshake_timeout_ms)\n",
        "",
    ),
    Planted(
        "a close that waits for its answer for ever",
        "closing.py",
        "if state.ends_after_ms != NEVER:",
        "if state.ends_after_ms > 0 and state.deaf:",
    ),
    Planted(
        "a heartbeat missed once",
        "heartbeat.py",
        "if self._silent >= 2:",
        "if self._silent >= 1:",
    ),
    Planted(
        "no heartbeats to an idle client",
        "heartbeat.py",
        "            output.write(HEARTBEAT_FRAME)",
        "            pass",
    ),
    Planted(
        "nobody looks for heartbeats after a pause",
        "heartbeat.py",
        "self._heard = True\n            self._start_monitor()",
        "self._heard = True",
    ),
    Planted(
        "a channel number that is closed for good",
        "channels.py",
        "self.shut.discard(number)",
        "pass",
    ),
    Planted(
        "one channel too many",
        "channels.py",
        "if client.channel_max and len(channels) >= client.channel_max:",
        "if client.channel_max and len(channels) > client.channel_max:",
    ),
    Planted(
        "a closed channel that stays counted",
        "channels.py",
        "run_all([closed, channel.stop, channel.release], channel.name)",
        "run_all([channel.stop, channel.release], channel.name)",
    ),
    Planted(
        "a closed channel in the totals",
        "channel.py",
        "[partial(totals.remove, self) for totals in (self.vhost.traffic, self.broker.totals.traffic)]",
        "[]",
    ),
    Planted(
        "a closed connection that stays counted",
        "registration.py",
        "            partial(broker.limits.connection_closed, client.vhost.name, client.user.name),\n",
        "",
    ),
    Planted(
        "an exclusive queue that outlives its connection",
        "registration.py",
        "return [self._emit_closed, partial(self._client.vhost.delete_exclusive_queues, self._session)]",
        "return [self._emit_closed]",
    ),
    Planted(
        "a reply address that is never forgotten",
        "direct_reply.py",
        "self._replies.pop(reply.name, None)",
        "pass",
    ),
    # --- alarms and a slow disk -------------------------------------------------------------------------------------
    Planted(
        "a publisher blocked after the alarm",
        "blocking.py",
        "            self._enter(False, False, state.outrun)\n",
        "",
    ),
    Planted(
        "a publisher not told that the alarm is over",
        "blocking.py",
        '            self._notify("connection.unblocked")\n',
        "",
    ),
    Planted(
        "an alarm that later connections do not know",
        "handshake.py",
        "        self._blocking.alarms_changed()\n",
        "",
    ),
    Planted(
        "a publisher that waits for the disk for ever",
        "blocking.py",
        "            self._enter(state.alarmed, state.blocked, False)",
        "            pass",
    ),
    Planted(
        "a publisher not told that the disk has caught up",
        "connection.py",
        "            self.blocking.outran()\n            self.client.storage.await_sync(self)",
        "            self.blocking.outran()",
    ),
    # --- locks ------------------------------------------------------------------------------------------------------
    Planted(
        "a late acknowledgement that is refused",
        "overdue_deliveries.py",
        "return tag in self.consumers or 0 < tag <= self.accepted",
        "return tag in self.consumers",
    ),
    Planted(
        "a renewal without effect",
        "renewal.py",
        "            self._locks.set(each, now_ms + (terms.timeout_ms if timeout_ms is None else timeout_ms), terms)\n",
        "            pass\n",
    ),
    Planted(
        "a consumer that stays paused after a return",
        "overdue_checks.py",
        "            consumer.resume()\n            consumer.queue.offer(consumer)\n",
        "            pass\n",
    ),
)
