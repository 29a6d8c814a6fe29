"""The seam for whoever wants to be told what happens in the broker: what is made, changed and deleted, and by whom."""

from collections.abc import Mapping

#: Who does what nobody asked for.
INTERNAL = "rmq-internal"


class Events:
    """One that wants to know nothing.

    heard: whether it wants to; nobody needs to gather facts for it otherwise. actor: the user whose request is being
    handled. Whoever is told is in the middle of things, so it may only remember: see Tap.
    """

    def __init__(self) -> None:
        self.actor: str = INTERNAL

    @property
    def heard(self) -> bool:
        return False

    def tell(self, event: str, facts: Mapping[str, object], actor: str | None = None) -> None:
        """Emit an event under its name in RabbitMQ, such as `queue.created`, with RabbitMQ's event properties.

        actor: the user who caused the event, if not `self.actor`; empty if RabbitMQ does not name a user. Never raises:
        an event that cannot be emitted does not undo the operation.
        """

    def publish_pending(self) -> None:
        """Publish the events of this event loop iteration. Only at the end of an operation."""


#: For whatever is made without a broker.
UNHEARD = Events()
