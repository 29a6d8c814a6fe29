"""Delay before a queue delivers a returned message again (RabbitMQ 4.3: x-delayed-retry-*).

The multiplier and the jitter are extensions.
"""

import math
import random
from typing import Any, Final, NamedTuple, final

from amqpbroker.broker.publishing.publish_checks import MAX_EXPIRY_MS

#: Types of returns that are delayed; the type "disabled" delays none.
ALL: Final = "all"
FAILED: Final = "failed"
RETURNED: Final = "returned"
DISABLED: Final = "disabled"
TYPES: Final = (ALL, FAILED, RETURNED, DISABLED)

#: Maximum of a delay that grows by a multiplier, in multiples of the minimum, if there is no other maximum (Artemis).
GROWTH: Final = 10


@final
class RetryDelay(NamedTuple):
    """Delay that grows with the number of failed deliveries, up to `max_ms`.

    returns: the returns that are delayed: ALL, only FAILED ones, or only messages RETURNED without a failure.
    multiplier: factor of each delay to the one before; 0 if the delay grows linearly. jitter: each delay is multiplied
    by a random number between 1 - `jitter` and 1 + `jitter`, and may so exceed `max_ms`.
    """

    returns: str
    min_ms: int
    max_ms: int
    multiplier: float = 0.0
    jitter: float = 0.0

    def delays(self, failed: bool) -> bool:
        """Return whether messages are delayed that are returned after a failure, or, with `failed` False, without."""
        return self.returns == ALL or failed == (self.returns == FAILED)

    def delay_ms(self, failed: bool, delivery_count: int) -> int:
        """Return the delay of a return, 0 for none; `delivery_count` includes it if it `failed`."""
        if not self.delays(failed):
            return 0
        count = max(1, delivery_count)
        grown_ms = self._multiplied_ms(count - 1) if self.multiplier else self.min_ms * count
        delay_ms = min(grown_ms, self.max_ms)
        if not self.jitter:
            return delay_ms
        return max(1, round(delay_ms * (1 + self.jitter * (2 * random.random() - 1))))

    def _multiplied_ms(self, steps: int) -> int:
        """Return the minimum multiplied `steps` times, or the maximum if that is smaller; the power may overflow."""
        if steps * math.log(self.multiplier) >= math.log(max(1.0, self.max_ms / self.min_ms)):
            return self.max_ms if self.multiplier > 1 else self.min_ms
        return round(self.min_ms * math.pow(self.multiplier, steps))

    def __str__(self) -> str:
        shown = f"{self.returns} (min: {self.min_ms}ms, max: {self.max_ms}ms"
        if self.multiplier:
            shown += f", multiplier: {self.multiplier:g}"
        if self.jitter:
            shown += f", jitter: {self.jitter:g}"
        return shown + ")"


def retry_delay(
    returns: Any, min_ms: Any, max_ms: Any, multiplier: Any = None, jitter: Any = None
) -> RetryDelay | None:
    """Return the delay that a queue's settings define, or None for no delay. Absent settings are None.

    RabbitMQ does not check these arguments when a queue is declared: without a known type and a positive minimum,
    nothing is delayed (rabbit_quorum_queue:get_delayed_retry_config/1). An unusable multiplier or jitter is ignored: a
    stored queue may have one.
    """
    multiplier = _usable(multiplier, 1, math.inf)
    if returns not in (ALL, FAILED, RETURNED) or min_ms is None or min_ms <= 0:
        return None
    if max_ms is None or max_ms <= 0:
        max_ms = min_ms * GROWTH if multiplier else min_ms
    return RetryDelay(
        returns,
        min(min_ms, MAX_EXPIRY_MS),
        min(max_ms, MAX_EXPIRY_MS),
        multiplier,
        _usable(jitter, 0, 1),
    )


def _usable(value: Any, low: float, high: float) -> float:
    """Return a value between `low` and `high`, or 0 for any other value."""
    return float(value) if value is not None and low <= value <= high and math.isfinite(value) else 0.0
