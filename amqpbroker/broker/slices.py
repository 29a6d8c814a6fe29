"""The time that each client's methods may take in one event loop iteration."""

from typing import Final

#: Maximum time in one event loop iteration for methods other than publishes and acknowledgements. A client that sends
#: many declarations at once must not delay other clients.
SLICE_MS: Final = 5
#: After this number of slices in one iteration, slices of further clients last at most `SHORT_SLICE_MS`: clients that
#: all reconnect at once send many methods at the same time.
SLICES: Final = 4
SHORT_SLICE_MS: Final = 1


class Slices:
    """Counts the connections that had to leave methods for the next iteration. All connections use the same counter."""

    def __init__(self) -> None:
        self._used = 0

    @property
    def length_ms(self) -> int:
        """Return the time that the methods of a client may take now."""
        return SLICE_MS if self._used < SLICES else SHORT_SLICE_MS

    def use(self) -> None:
        """Count a slice that was used up."""
        self._used += 1

    def renew(self) -> None:
        """Begin the next iteration."""
        self._used = 0
