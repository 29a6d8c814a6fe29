"""Planted faults of message groups, batches and redrives."""

from tests.simulation.planted.fault import Planted

WORK_QUEUES = (
    # --- message groups -----------------------------------------------------------------------------------------------
    Planted(
        "a group that is freed too early",
        "groups.py",
        "elif not group.out and not group.is_blocked:",
        "elif not group.is_blocked:",
    ),
    Planted(
        "a delayed message that does not block its group",
        "groups.py",
        "elif not group.out and not group.is_blocked:",
        "elif not group.out:",
    ),
    Planted(
        "a stopped group that is not stored",
        "returns.py",
        "since_ms, entry.queue.id).note",
        "since_ms, 0).note",
    ),
    Planted(
        "a closed group that a restart opens",
        "queue.py",
        "if note.key[0] != VERSION:\n                note.set_time",
        "if note.key[0] != VERSION and note.key[0] != 2:\n                note.set_time",
    ),
    Planted(
        "letters of a group that come back in reverse",
        "redrive.py",
        "self._letters.append(letter)",
        "self._letters.insert(0, letter)",
    ),
    Planted(
        "letters of a group behind all others",
        "ledger.py",
        "self._lowest -= 1\n        entry = Entry(message, queue, self._lowest, deadline_ms)",
        "self.entered += 1\n        entry = Entry(message, queue, self.newest, deadline_ms)",
    ),
    Planted(
        "letters of a group that did not stop it",
        "queue.py",
        "            and is_letter(message, name, groups.options.header, key)\n"
        "            and letter_number(message) >= groups.letters.first(key)",
        "            and message.died\n            and groups.key(message) == key",
    ),
    Planted(
        "a message that does not follow its group",
        "queue.py",
        "        elif line.groups.following:\n            dispatcher.follow()",
        "        elif line.groups.following:\n            pass",
    ),
    Planted(
        "a parked message that is counted for good",
        "groups.py",
        "        self.parked.difference_update(group.waiting())",
        "        self.parked.difference_update(group.waiting()[1:])",
    ),
    Planted(
        "a superseded message that is delivered",
        "versions.py",
        "return version < known[0] and",
        "return version + 2 < known[0] and",
    ),
    Planted(
        "a version forgotten by a restart",
        "queue.py",
        "            versions.recover(of_versions)",
        "            versions.recover(of_versions[1:])",
    ),
    # --- batches ------------------------------------------------------------------------------------------------------
    Planted(
        "a success that is sent twice",
        "batches.py",
        "if not batch.failed and SUCCESS not in batch.sent:",
        "if not batch.failed:",
    ),
    Planted(
        "an event sent again after a restart",
        "batches.py",
        "            self._store_batch(batch)\n            self._release_space(batch)",
        "            self._check_events(batch)\n            self._release_space(batch)",
    ),
    Planted(
        "a member that is settled with its first copy",
        "batches.py",
        "is_settled = not (stored or transient or self._is_moving(",
        "is_settled = not (stored > 1 or transient or self._is_moving(",
    ),
    Planted(
        "a failed member that stays failed",
        "batches.py",
        "-1 if has_failed else 0, None)",
        "0, None)",
    ),
    Planted(
        "a rejected member that has not failed",
        "follower.py",
        "            self._failed(*taken, copy, queue, reason)\n        else:",
        "            self._succeeded(taken[0], copy)\n        else:",
    ),
    Planted(
        "a member whose state is not stored",
        "batches.py",
        "            self._store.add_id(after)",
        "            if outcome != FAILED:\n                self._store.add_id(after)",
    ),
    # --- redrives -----------------------------------------------------------------------------------------------------
    Planted(
        "a redrive that forgets a message",
        "redrive.py",
        "self._visits: int = source.ready_count + source.unacked_count + source.delayed_count",
        "self._visits: int = max(0, source.ready_count - 1)",
    ),
    Planted(
        "a redrive over its limit",
        "redrive.py",
        "while self._visits and self.moved != self._limit:",
        "while self._visits and self.moved - 1 != self._limit:",
    ),
    Planted(
        "a redrive without its rate",
        "redrive.py",
        "            self._pace.count(now_ms)",
        "            pass",
    ),
    Planted(
        "a move that is two operations",
        "ledger.py",
        "            self.leave(entry)\n            for destination in destinations:",
        "            self.leave(entry)\n            store.end()\n            store.begin()\n"
        "            for destination in destinations:",
    ),
    Planted(
        "a redriven message that stays as well",
        "ledger.py",
        "            self.leave(entry)\n            for destination in destinations:",
        "            if self.left % 8:\n                self.leave(entry)\n"
        "            for destination in destinations:",
    ),
    Planted(
        "a redrive past a full queue",
        "mover.py",
        "if destination.closed or destination.refuses(*destination.demand(message)):",
        "if destination.closed:",
    ),
    # --- jobs ---------------------------------------------------------------------------------------------------------
    Planted(
        "a job accepted before its sync",
        "jobs.py",
        "    await all_synced(call.broker)\n    if not accepted:",
        "    if not accepted:",
    ),
    Planted(
        "the end of a job shown before its sync",
        "jobs.py",
        "        await all_synced(call.broker)\n        return Answer(200, shown)",
        "        return Answer(200, shown)",
    ),
    Planted(
        "a job that gets no reply after a restart",
        "job.py",
        "text(names[3]), names[4], names[5].decode()",
        'text(names[3]), names[4], ""',
    ),
    Planted(
        "a job too many",
        "shares.py",
        "return not self.has_share(owner, size) and self._total + size <= self.most",
        "return self._total + size <= self.most + 1",
    ),
)
