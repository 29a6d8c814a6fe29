"""Logins of the page: a random token in a cookie stands for a user until it expires."""

import secrets
from typing import TYPE_CHECKING, final

from amqpbroker.config.bounds import BOUNDS, Bounds

if TYPE_CHECKING:
    from amqpbroker.clock import Clock

COOKIE = "amqpbroker_session"


@final
class Sessions:
    """Who is logged in, by token. timeout_ms: how long a login lasts.

    The password hash at the time of the login goes with it: a changed password ends the user's sessions.
    """

    def __init__(self, clock: "Clock", timeout_ms: int, bounds: Bounds = BOUNDS) -> None:
        self.timeout_ms = timeout_ms
        self._clock = clock
        self._most = bounds.sessions
        self._most_of_user = bounds.user_sessions
        self._sessions: dict[str, tuple[str, bytes, int]] = {}

    def open(self, user: str, password_hash: bytes) -> str:
        """Returns the token of a new session."""
        self._discard_expired()
        own = [token for token, (name, _, _) in self._sessions.items() if name == user]
        if len(own) >= self._most_of_user:
            del self._sessions[own[0]]
        elif len(self._sessions) >= self._most:
            del self._sessions[next(iter(self._sessions))]
        token = secrets.token_urlsafe(32)
        self._sessions[token] = (user, password_hash, self._clock.now_ms() + self.timeout_ms)
        return token

    def find(self, token: str) -> tuple[str, bytes] | None:
        """The user's name and password hash; None if nobody is logged in with it."""
        found = self._sessions.get(token)
        if found is None:
            return None
        user, password_hash, until_ms = found
        if until_ms <= self._clock.now_ms():
            del self._sessions[token]
            return None
        return user, password_hash

    def close(self, token: str) -> None:
        self._sessions.pop(token, None)

    def _discard_expired(self) -> None:
        now_ms = self._clock.now_ms()
        for token in [token for token, (_, _, until_ms) in self._sessions.items() if until_ms <= now_ms]:
            del self._sessions[token]
