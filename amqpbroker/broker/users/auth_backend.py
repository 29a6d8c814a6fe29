"""The interface of authentication backends, which identify clients and return their permissions, at once or later."""

from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from typing import final

from amqpbroker.broker.users.permissions import Permissions
from amqpbroker.broker.users.users import User, Users
from amqpbroker.errors import AmqpError

#: Called with the user, or None if there is no such user or the password is wrong.
Identified = Callable[[User | None], None]
#: Called with the permissions, or None if the user has none in the vhost.
Permitted = Callable[[Permissions | None], None]


class AuthBackend(metaclass=ABCMeta):
    """Answers on the event loop's thread, within the call or in a later iteration, once for each call.

    A backend that queries a server has its own timeout. If it cannot find an answer, it answers None and logs the
    reason. An answer for a client that has disconnected meanwhile is ignored. Passwords must not be logged.

    answers_at_once: True if `permit` always answers within the call, so that permissions can be looked up when they are
    needed. Otherwise an HTTP request loads the permissions that it needs before it is handled.
    """

    answers_at_once: bool = False

    @abstractmethod
    def identify(self, name: str, password: bytes, answer: Identified) -> None:
        """Check whether this is the password of the user with the name."""

    @abstractmethod
    def identify_certified(self, name: str, answer: Identified) -> None:
        """Find the user with the name, which a verified certificate has proven."""

    @abstractmethod
    def permit(self, user: User, vhost: str, answer: Permitted) -> None:
        """Look up the user's permissions in the vhost, which exists."""

    def current(self, user: User) -> User | None:
        """Return a user of `identify` in its current state, None if its login is no longer valid.

        HTTP requests and sessions call this often, so that it answers from memory.
        """
        return user


@final
class InternalBackend(AuthBackend):
    """The users and permissions of the broker's own definitions. It always answers at once."""

    answers_at_once: bool = True

    def __init__(self, users: Users) -> None:
        self._users = users

    def identify(self, name: str, password: bytes, answer: Identified) -> None:
        answer(self._users.authenticate(name, password))

    def identify_certified(self, name: str, answer: Identified) -> None:
        answer(self._users.user(name) if self._users.has(name) else None)

    def permit(self, user: User, vhost: str, answer: Permitted) -> None:
        try:
            permissions = self._users.permissions(user, vhost)
        except AmqpError:
            answer(None)
        else:
            answer(permissions)

    def current(self, user: User) -> User | None:
        """Return the user in its current state, None if it was deleted or its password was changed."""
        now = self._users.user(user.name) if self._users.has(user.name) else None
        return now if now is not None and now.password_hash == user.password_hash else None
