"""Planted faults of shovels and their links."""

from tests.simulation.planted.fault import Planted

SHOVELS = (
    Planted("a shovel that awaits no confirm", "work.py", "definition.ack_mode, remaining", '"on-publish", remaining'),
    Planted(
        "a shovel that does not connect again", "shovel.py", "            if delay_s is None:", "            if True:"
    ),
    Planted(
        "a refused message that a shovel does not publish again",
        "transfer.py",
        "        self._pending.extendleft(sorted(self._refused, key=_tag, reverse=True))\n",
        "",
    ),
    Planted(
        "refused messages published again in a wrong order",
        "transfer.py",
        "sorted(self._refused, key=_tag, reverse=True)",
        "sorted(self._refused, key=_tag)",
    ),
    Planted(
        "a deleted shovel that goes on",
        "runner.py",
        "            task.add_done_callback(self._ending.pop)\n            task.cancel()",
        "            task.add_done_callback(self._ending.pop)",
    ),
    Planted(
        "a link that stays after its shovel",
        "shovel.py",
        "            ends.push_async_callback(to_link.close)\n",
        "",
    ),
    Planted(
        "a shovel that does not read on when there is space again",
        "transfer.py",
        "            self._ends.read(reading)",
        "            self._ends.read(False)",
    ),
    Planted(
        "a shovel that reads on when its window is full",
        "transfer.py",
        "        reading = self._held_bytes <= (self._window if self._reading else self._window // 2)",
        "        reading = True",
    ),
    Planted(
        "a shovel that stays blocked by a full output",
        "transfer.py",
        "        self._full = full\n        self._update_status()",
        "        self._full = self._full or full\n        self._update_status()",
    ),
)
