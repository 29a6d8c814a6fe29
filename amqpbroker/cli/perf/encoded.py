"""The publishes of a channel as bytes, ready to be sent."""

from abc import ABC, abstractmethod

#: Maximum bytes of one write to the socket.
CHUNK_BYTES = 1 << 18


class EncodedPublishes(ABC):
    """Gives out publishes, whole and in order, without end. The next `take` overwrites the result of the last."""

    #: Number of messages that may be taken next, and bytes of the bodies of the last ones.
    most: int
    taken_octets: int

    @abstractmethod
    def take(self, count: int) -> memoryview:
        """The next `count` publishes, at most `most`."""

    @abstractmethod
    def take_stamped(self, count: int, stamps_ns: list[int]) -> memoryview:
        """As `take`; stamps: one for all of them, or one for each."""

    @abstractmethod
    def unsent(self, left: int) -> tuple[int, int]:
        """Count those that were taken last and are not sent whole, and the octets of their bodies.

        left: octets of what was taken last that are not sent.
        """
