"""Planted faults of the store: journal, recovery, compaction, groups, definitions."""

from tests.simulation.planted.fault import Planted

STORE = (
    Planted(
        "a sync not waited for",
        "journal.py",
        "            sync()\n        except UnwrittenError",
        "            pass\n        except UnwrittenError",
    ),
    Planted("a directory not synced", "journal.py", "self.files.sync_directory(self.directory)", "pass"),
    Planted("definitions not synced with a batch", "committer.py", "self._before()\n        if", "if"),
    Planted(
        "definitions never synced alone",
        "writer.py",
        "self._committer.start(None, self._definitions_done)",
        "self._syncing = False",
    ),
    Planted(
        "synced too far",
        "pending_writes.py",
        "self.synced = max(self.synced, taken.number)",
        "self.synced = max(self.synced, taken.number + 1)",
    ),
    Planted(
        "a settling not stored",
        "pending_writes.py",
        "            self._open.settled.append(copy.position)\n",
        "            pass\n",
    ),
    Planted("a delay not stored", "pending_writes.py", "        group.delayed[key] = due_ms\n", "        pass\n"),
    Planted(
        "a failed write is taken as done",
        "writer.py",
        "if error is not None:\n                if len(self._ended)",
        "if error is not None and not isinstance(error, UnwrittenError):\n                if len(self._ended)",
    ),
    Planted(
        "a failed write is not tried again",
        "writer.py",
        "self._retry = self._clock.after(RETRY_MS, self._start_again)",
        "pass",
    ),
    Planted(
        "a torn write is not cut off",
        "journal.py",
        "            self.files.truncate(segment.descriptor, batch.position & OFFSET_MASK)\n"
        "            self._check_size(segment, batch.position & OFFSET_MASK)\n",
        "            pass\n",
    ),
    Planted(
        "nothing written behind a batch",
        "writer.py",
        "if self._writings and not self._closed:",
        "if False:",
    ),
    Planted(
        "a lost wake-up of the gathering",
        "pending_writes.py",
        "self._is_due = True\n        self._on_gathered()",
        "self._is_due = True",
    ),
    Planted(
        "a group left open",
        "pending_writes.py",
        "            self._open = self.loose\n            self._pending = PENDING\n",
        "            pass\n",
    ),
    Planted(
        "a transaction not as one group",
        "pending_writes.py",
        "self._depth += 1\n        if self._depth > 1:\n            return",
        "self._depth += 1\n        return",
    ),
    Planted(
        "a freed segment that lives",
        "log.py",
        "if first == last or self.living.of(first).count:",
        "if first == last:",
    ),
    Planted(
        "nobody told of a sync",
        "persistence.py",
        "if self._is_due or not self._waits:\n            self.sync()\n        self._on_synced()",
        "if self._is_due or not self._waits:\n            self.sync()",
    ),
    Planted(
        "a moved copy looked for at its old place",
        "persistence.py",
        "self._relocations.move(copy.old, copy.new)",
        "pass",
    ),
    Planted(
        "a settling of a moved copy at its old place",
        "batches.py",
        "positions = [self._relocations.settle(position) for position in positions]",
        "pass",
    ),
    Planted(
        "a settled copy that keeps its segment",
        "batches.py",
        "self._log.living.settle(positions)\n        return record.settle(positions)",
        "return record.settle(positions)",
    ),
    Planted(
        "a purge of a paged queue not stored",
        "pending_writes.py",
        "self._open.swept.append(positions)",
        "pass",
    ),
    Planted(
        "an operation lost by an orderly stop",
        "persistence.py",
        "                if self._is_due:\n                    self.writer.commit(self._batches())\n",
        "",
    ),
    Planted(
        "a return not stored",
        "pending_writes.py",
        "self._open.returned.append(copy)",
        "pass",
    ),
    Planted(
        "a delivery count not read back",
        "persistence.py",
        "self._counts.update(found.returned)",
        "pass",
    ),
    Planted(
        "a delivery count that outlives its copy",
        "batches.py",
        "for numbers in (self._counts, self._dues):",
        "for numbers in (self._dues,):",
    ),
    Planted(
        "a deleted queue that comes back",
        "vhost.py",
        "gone.append(queue_definition(self.name, queue))",
        "pass",
    ),
    Planted(
        "a removed binding that comes back",
        "vhost.py",
        "gone += [binding_definition(self.name, binding) for binding in removal.bindings if is_durable(binding)]",
        "pass",
    ),
    Planted(
        "a spill file that is never removed",
        "spill.py",
        "if segment.free():\n            self._remove(segment)",
        "segment.free()",
    ),
    Planted(
        "a spilled message that forgets its delivery",
        "spilled.py",
        "entry.restore(flags & _REDELIVERED, count)",
        "entry.restore(0, 0)",
    ),
)
