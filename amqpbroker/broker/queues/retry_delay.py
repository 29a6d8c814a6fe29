"""Delay before a queue delivers a returned message again (RabbitMQ 4.3: x-delayed-retry-*)."""

from dataclasses import dataclass
from typing import Any, final

#: Types of returns that are delayed; the type "disabled" delays none.
ALL = "all"
FAILED = "failed"
RETURNED = "returned"


@final
@dataclass(frozen=True, slots=True)
class RetryDelay:
    """Delay that grows linearly with the number of failed deliveries, up to `max_ms`.

    returns: the returns that are delayed: ALL, only FAILED ones, or only messages RETURNED without a failure.
    """

    returns: str
    min_ms: int
    max_ms: int

    def delay_ms(self, failed: bool, delivery_count: int) -> int:
        """Return the delay of a return, 0 for none; `delivery_count` includes it if it `failed`."""
        if self.returns != ALL and failed != (self.returns == FAILED):
            return 0
        return min(self.min_ms * max(1, delivery_count), self.max_ms)

    def __str__(self) -> str:
        return f"{self.returns} (min: {self.min_ms}ms, max: {self.max_ms}ms)"


def retry_delay(returns: Any, min_ms: Any, max_ms: Any) -> RetryDelay | None:
    """Return the delay that a queue's settings define, or None for no delay. Absent settings are None.

    RabbitMQ does not check these arguments when a queue is declared: without a known type and a positive minimum,
    nothing is delayed (rabbit_quorum_queue:get_delayed_retry_config/1).
    """
    if returns not in (ALL, FAILED, RETURNED) or min_ms is None or min_ms <= 0:
        return None
    return RetryDelay(returns, min_ms, max_ms if max_ms is not None and max_ms > 0 else min_ms)
