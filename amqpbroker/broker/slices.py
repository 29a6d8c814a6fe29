"""The time that each client's methods may take in one event loop iteration."""

from typing import Final

#: Maximum time in one event loop iteration for methods other than publishes and acknowledgements. A client that sends
#: many declarations at once must not delay other clients.
SLICE_MS: Final = 5
#: After so many slices in one iteration, those of further clients last no longer than `SHORT_SLICE_MS`: many clients
#: that come back at once send many methods together.
SLICES: Final = 4
SHORT_SLICE_MS: Final = 1


class Slices:
    """Counts the connections that had to leave methods for the next iteration. All connections share it."""

    def __init__(self) -> None:
        self._used = 0

    @property
    def length_ms(self) -> int:
        """How long the methods of a client may take now."""
        return SLICE_MS if self._used < SLICES else SHORT_SLICE_MS

    def use(self) -> None:
        """Count a slice that was used up."""
        self._used += 1

    def renew(self) -> None:
        """Begin the next iteration."""
        self._used = 0
