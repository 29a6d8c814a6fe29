"""Limits of requests that wait: long polls, messages that are read, slow bodies, and answers that are sent in parts.

Each of them holds a connection of the listener, so they leave connections for all other requests.
"""

from collections import Counter
from typing import final

from amqpbroker.config.bounds import BOUNDS
from amqpbroker.management import failure


@final
class Waiting:
    """The requests that wait. most: of all users together. most_of_user: of one user.

    Users who are not administrators leave as many places as one user may have to administrators. Requests without a
    login count as those of one user.
    """

    def __init__(self, most: int = BOUNDS.waiting, most_of_user: int = BOUNDS.user_waiting) -> None:
        self.most = most
        self.most_of_user = most_of_user
        self.total: int = 0
        self.by_user: Counter[str | None] = Counter()

    def one(self) -> "Place":
        return Place(self)


@final
class Place:
    """The place of one request, which is free again at the end of the `with`."""

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting
        self._user: str | None = None
        self._is_taken = False

    def __enter__(self) -> "Place":
        return self

    def __exit__(self, *raised: object) -> None:
        if self._is_taken:
            waiting = self._waiting
            waiting.total -= 1
            waiting.by_user[self._user] -= 1
            if not waiting.by_user[self._user]:
                del waiting.by_user[self._user]

    def occupy(self, user: str | None, is_administrator: bool) -> None:
        """Count the request from now on. Raises ApiError 503 if too many requests wait. user: None without a login."""
        if self._is_taken:
            return
        waiting = self._waiting
        if waiting.by_user[user] >= waiting.most_of_user:
            raise failure.user_waits(user, waiting.most_of_user)
        if waiting.total >= waiting.most - (0 if is_administrator else waiting.most_of_user):
            raise failure.too_many_wait(waiting.total)
        self._user = user
        self._is_taken = True
        waiting.total += 1
        waiting.by_user[user] += 1
