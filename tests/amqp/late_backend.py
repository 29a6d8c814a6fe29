"""A backend whose answers a test triggers: a stand-in for a backend that asks a server."""

from collections.abc import Callable
from functools import partial

from amqpbroker.broker.users.auth_backend import AuthBackend, Identified, Permitted
from amqpbroker.broker.users.permissions import Grant, Permissions
from amqpbroker.broker.users.users import User


class LateBackend(AuthBackend):
    """Knows users by their passwords, all with the same tags.

    asked: requests of clients. waiting: answers not sent yet, oldest first. gone: names of users whose logins ended.
    """

    def __init__(
        self, passwords: dict[str, bytes] | None = None, vhosts: tuple[str, ...] = ("/",), tags: tuple[str, ...] = ()
    ) -> None:
        self.passwords = {"guest": b"guest"} if passwords is None else passwords
        self.vhosts = vhosts
        self.tags = tags
        self.gone: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        self.waiting: list[Callable[[], None]] = []

    def identify(self, name: str, password: bytes, answer: Identified) -> None:
        self.asked.append(("identify", name))
        self.waiting.append(partial(answer, self._user(name) if self.passwords.get(name) == password else None))

    def identify_certified(self, name: str, answer: Identified) -> None:
        self.asked.append(("identify_certified", name))
        self.waiting.append(partial(answer, self._user(name) if name in self.passwords else None))

    def permit(self, user: User, vhost: str, answer: Permitted) -> None:
        self.asked.append(("permit", f"{user.name} in {vhost}"))
        permissions = None
        if vhost in self.vhosts:
            permissions = Permissions(user.name, vhost)
            permissions.grant(Grant(".*", ".*", ".*"))
        self.waiting.append(partial(answer, permissions))

    def current(self, user: User) -> User | None:
        return None if user.name in self.gone else user

    def _user(self, name: str) -> User:
        return User(name, tags=self.tags)

    def answer(self, index: int = 0) -> None:
        """Send one of the waiting answers."""
        self.waiting.pop(index)()
