"""Connections, and what they have, as far as the user who asks may see them."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from amqpbroker.broker.session import Session
from amqpbroker.management import failure
from amqpbroker.management.call import Call
from amqpbroker.row_slices import RowSlices

Info = TypeVar("Info")


def sessions(call: Call, vhost: str | None = None) -> list[Session]:
    """All of a vhost or of all; who does not monitor sees only those of the same user."""
    identity = call.identity
    return [
        session
        for session in call.broker.sessions
        if vhost in (None, session.vhost.name) and (identity.monitors or session.user.name == identity.user.name)
    ]


def find_session(call: Call, name: str) -> Session:
    """Raises ApiError 404, 401 for somebody else's."""
    for session in call.broker.sessions:
        if session.name == name:
            if not call.identity.monitors and session.user.name != call.identity.user.name:
                raise failure.not_authorised("User not authorised to access object")
            return session
    raise failure.not_found()


async def gather(several: Iterable[Session], infos: Callable[[Session], Iterable[Info]], rows: int) -> list[Info]:
    """Return the infos of the connections. rows: maximum number of connections in one event loop iteration."""
    return [info async for some in RowSlices(rows).of(several) for session in some for info in infos(session)]
