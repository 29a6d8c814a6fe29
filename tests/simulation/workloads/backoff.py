"""A queue of any kind that delays returned messages for up to minutes: many wait when the broker ends."""

import random
from typing import Any

from tests.simulation.workloads.poison import KINDS, Poison


class Backoff(Poison):
    """Poison with long delays, and with a limit that most messages do not reach."""

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        return {
            "limit": chance.choice((5, 20)),
            "prefetch": chance.choice((1, 20)),
            "retry": (chance.choice(("all", "failed", "returned")), chance.choice((2_000, 20_000)), 40_000),
            "kind": chance.choice(list(KINDS)),
            "multiplier": chance.choice((None, 1, 2.5)),
            "jitter": chance.choice((0, 0.5)),
        }
