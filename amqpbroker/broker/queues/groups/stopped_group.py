"""A message group that delivers nothing until it is redriven, as others see it."""

from typing import Final, NamedTuple, final

PARKED: Final = "parked"
CLOSED: Final = "closed"


@final
class StoppedGroup(NamedTuple):
    """A stopped message group.

    queue: name of its queue. key: as the management API shows it. key_type: one of KEY_TYPES. state: PARKED or CLOSED.
    first: sequence number of its first waiting message, 0 if none waits.
    """

    queue: str
    key: str
    key_type: str
    state: str
    first: int
