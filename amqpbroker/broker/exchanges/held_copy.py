"""A message that is held back, as the store sees it."""

from mypy_extensions import mypyc_attr

from amqpbroker.message.message import Copy, Message


# Acyclic: apart from its message a copy has only numbers. It refers to the exchange by id.
@mypyc_attr(acyclic=True)
class HeldCopy(Copy):
    """deadline_ms: when it is due. position: 0 unless it is stored."""

    __slots__ = ("_holder_id",)

    def __init__(self, message: Message, holder_id: int, sequence: int, due_ms: int, position: int = 0) -> None:
        super().__init__(message, sequence, due_ms)
        self._holder_id: int = holder_id
        self.position = position

    @property
    def holder_id(self) -> int:
        return self._holder_id

    def __lt__(self, other: object) -> bool:
        """Return whether it is due earlier, or as early and came earlier."""
        assert isinstance(other, HeldCopy)
        due_ms = other.deadline_ms
        return self.deadline_ms < due_ms or (self.deadline_ms == due_ms and self.sequence < other.sequence)
