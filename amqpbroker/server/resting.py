"""HTTP connections that wait for a request: they give way to new clients when a listener has too many connections."""

from typing import Protocol, final

#: Time that a connection may wait for a request before a new client can take its place.
GIVE_WAY_S = 1.0


class Connection(Protocol):
    """A connection that can give way."""

    def close_idle(self) -> None: ...


@final
class Resting:
    """The connections of a listener that wait for a request, or whose request is answered and not fully received."""

    def __init__(self) -> None:
        #: connection -> start of its wait, in this order.
        self._since: dict[Connection, float] = {}

    def __len__(self) -> int:
        return len(self._since)

    def rest(self, connection: Connection, now: float) -> None:
        """Record that a connection waits. now: in seconds of the event loop; ignored if it waits already."""
        self._since.setdefault(connection, now)

    def work(self, connection: Connection) -> None:
        """Record that a connection has a request, or is closed."""
        self._since.pop(connection, None)

    def free(self, now: float) -> bool:
        """Close the connection that has waited longest; return False if none has waited for `GIVE_WAY_S`."""
        for connection, since in self._since.items():
            if now - since < GIVE_WAY_S:
                return False
            del self._since[connection]
            connection.close_idle()
            return True
        return False
