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
        """Something has happened: its name in RabbitMQ, such as `queue.created`, and what RabbitMQ tells of it.

        actor: who did it, if that is not `self.actor`; empty if RabbitMQ does not say. Never raises: what has happened
        has, whether or not it can be told.
        """

    def publish_pending(self) -> None:
        """Publish the events that were told in this event loop iteration. Only at the end of an operation."""


#: For whatever is made without a broker.
UNHEARD = Events()
