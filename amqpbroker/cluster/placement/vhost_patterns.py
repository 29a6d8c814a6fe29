"""Patterns of the vhosts that brokers prefer to lead (`store.vhosts`)."""

from amqpbroker.patterns import Pattern, PatternError
from amqpbroker.store.log import StoreError


class VhostPatterns:
    """The patterns of all brokers, compiled once. Used by a thread at a time."""

    def __init__(self) -> None:
        self._compiled: dict[str, Pattern | None] = {}

    def match(self, pattern: str, vhost: str) -> bool:
        """Return whether a pattern is found in the name of a vhost, as that of a policy in the name of a queue.

        A pattern that only another version of the broker understands matches nothing.
        """
        if pattern not in self._compiled:
            try:
                self._compiled[pattern] = Pattern(pattern)
            except PatternError:
                self._compiled[pattern] = None
        compiled = self._compiled[pattern]
        return compiled is not None and compiled.found_in(vhost)


def check_pattern(pattern: str) -> None:
    """Raises StoreError if `store.vhosts` is invalid."""
    try:
        Pattern(pattern)
    except PatternError as error:
        raise StoreError(
            f"store.vhosts = {pattern}: {error.reason} at character {error.at + 1}; write a regular expression that"
            " matches names of vhosts, such as ^orders"
        ) from error
