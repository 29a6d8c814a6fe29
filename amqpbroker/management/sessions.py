"""Logins of the page: a random token in a cookie stands for a user until it expires."""

import secrets
from typing import TYPE_CHECKING, final

from amqpbroker.config.bounds import BOUNDS, Bounds

if TYPE_CHECKING:
    from amqpbroker.broker.users.users import User
    from amqpbroker.clock import Clock

COOKIE = "amqpbroker_session"


@final
class Sessions:
    """Users that are logged in, by token. timeout_ms: how long a login lasts."""

    def __init__(self, clock: "Clock", timeout_ms: int, bounds: Bounds = BOUNDS) -> None:
        self.timeout_ms = timeout_ms
        self._clock = clock
        self._most = bounds.sessions
        self._most_of_user = bounds.user_sessions
        self._sessions: dict[str, tuple[User, int]] = {}

    def open(self, user: "User") -> str:
        """Return the token of a new session."""
        self._discard_expired()
        own = [token for token, (other, _) in self._sessions.items() if other.name == user.name]
        if len(own) >= self._most_of_user:
            del self._sessions[own[0]]
        elif len(self._sessions) >= self._most:
            del self._sessions[next(iter(self._sessions))]
        token = secrets.token_urlsafe(32)
        self._sessions[token] = (user, self._clock.now_ms() + self.timeout_ms)
        return token

    def find(self, token: str) -> "User | None":
        """Return the user as it was when it logged in, None if there is no such session."""
        found = self._sessions.get(token)
        if found is None:
            return None
        user, until_ms = found
        if until_ms <= self._clock.now_ms():
            del self._sessions[token]
            return None
        return user

    def close(self, token: str) -> None:
        self._sessions.pop(token, None)

    def _discard_expired(self) -> None:
        now_ms = self._clock.now_ms()
        for token in [token for token, (_, until_ms) in self._sessions.items() if until_ms <= now_ms]:
            del self._sessions[token]
