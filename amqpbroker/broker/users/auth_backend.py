"""The authentication backend seam: who a client is, and what it may do, answered at once or later."""

from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from typing import final

from amqpbroker.broker.users.permissions import Permissions
from amqpbroker.broker.users.users import User, Users
from amqpbroker.errors import AmqpError

#: Takes the user, or None if the password is not that of the user with the name.
Identified = Callable[[User | None], None]
#: Takes the permissions, or None if the user has none in the vhost.
Permitted = Callable[[Permissions | None], None]


class AuthBackend(metaclass=ABCMeta):
    """Answers on the event loop's thread: within the call, or in a later iteration. It answers each call once.

    A backend that asks a server has its own timeout, and answers None, and logs the reason, if it cannot find out. An
    answer for a client that has gone meanwhile is ignored. Passwords are written to no log.
    """

    @abstractmethod
    def identify(self, name: str, password: bytes, answer: Identified) -> None:
        """Find out whether this is the password of the user with the name."""

    @abstractmethod
    def permit(self, user: User, vhost: str, answer: Permitted) -> None:
        """Find out what the user may do in the vhost, which exists."""


@final
class InternalBackend(AuthBackend):
    """The users and permissions of the broker's own definitions. It always answers at once."""

    def __init__(self, users: Users) -> None:
        self._users = users

    def identify(self, name: str, password: bytes, answer: Identified) -> None:
        answer(self._users.authenticate(name, password))

    def permit(self, user: User, vhost: str, answer: Permitted) -> None:
        try:
            permissions = self._users.permissions(user, vhost)
        except AmqpError:
            answer(None)
        else:
            answer(permissions)
