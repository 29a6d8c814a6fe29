"""Logging in, whatever the protocol: who may, and how often it was tried."""

from typing import final

from amqpbroker.broker.counters.totals import AuthAttempts
from amqpbroker.broker.users.login_guard import LoginGuard
from amqpbroker.broker.users.users import User, Users
from amqpbroker.clock import Clock
from amqpbroker.config.bounds import BOUNDS

#: As RabbitMQ names the protocols in its counts.
AMQP = "amqp091"
HTTP = "http"


@final
class Logins:
    """The one door for users. attempts: where it is counted who comes.

    Nothing that is told or measured from outside says why a login was refused: for a name that is no user's the same
    work is done as for a wrong password.
    """

    def __init__(self, users: Users, clock: Clock, attempts: AuthAttempts, guesses: int = BOUNDS.guesses) -> None:
        """guesses: maximum number of pairs of user and address that are recorded after a failed login."""
        self._attempts = attempts
        self._users = users
        self._guard = LoginGuard(clock, guesses)

    def by_password(self, name: str, password: bytes, host: str, protocol: str) -> User | None:
        """The user who comes from that address with that password, None if it is to be refused."""
        user = self._users.authenticate(name, password)
        guess = self._guard.guess(name, password, host)
        allowed = self._guard.allows(guess)
        may = self._users.may_log_in_from(name, host)
        if user is not None and allowed and may:
            self._guard.accepted(guess)
            return self._counted(user, protocol)
        if allowed and self._users.has(name):
            self._guard.rejected(guess)
        return self._counted(None, protocol)

    def by_certificate(self, name: str, host: str, protocol: str) -> User | None:
        """The same for a name that a verified certificate vouches for; "" for one that does not."""
        known = bool(name) and self._users.has(name) and self._users.may_log_in_from(name, host)
        return self._counted(self._users.user(name) if known else None, protocol)

    def _counted(self, user: User | None, protocol: str) -> User | None:
        self._attempts.count(protocol, user is not None)
        return user
