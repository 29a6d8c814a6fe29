"""Logins by all protocols: their checks, their limits and their counts."""

from typing import final

from amqpbroker.broker.counters.totals import AuthAttempts
from amqpbroker.broker.users.auth_backend import AuthBackend, Identified, InternalBackend, Permitted
from amqpbroker.broker.users.login_guard import Guess, LoginGuard
from amqpbroker.broker.users.users import User, Users
from amqpbroker.clock import Clock
from amqpbroker.config.bounds import BOUNDS

#: As RabbitMQ names the protocols in its counts.
AMQP = "amqp091"
HTTP = "http"


@final
class Logins:
    """Logins of users by all protocols. attempts: counters of logins.

    Neither the answer to a login that is refused nor the time it takes tells the reason: an unknown user name takes the
    same work as a wrong password.
    """

    def __init__(self, users: Users, clock: Clock, attempts: AuthAttempts, guesses: int = BOUNDS.guesses) -> None:
        """guesses: maximum number of pairs of user and address that are recorded after a failed login."""
        self._attempts = attempts
        self._users = users
        self._internal = InternalBackend(users)
        self._backend: AuthBackend = self._internal
        self._guard = LoginGuard(clock, guesses)

    def by_password(self, name: str, password: bytes, host: str, protocol: str) -> User | None:
        """The user who comes from that address with that password, None if it is to be refused."""
        user = self._users.authenticate(name, password)
        return self._judged(user, name, self._guard.guess(name, password, host), host, protocol)

    def identify(self, name: str, password: bytes, host: str, protocol: str, answer: Identified) -> None:
        """`by_password` for a backend that may answer later. Call `answer` with the user, or None for a refusal."""
        guess = self._guard.guess(name, password, host)

        def judge(user: User | None) -> None:
            answer(self._judged(user, name, guess, host, protocol))

        self._backend.identify(name, password, judge)

    def permit(self, user: User, inside: bool, vhost: str, answer: Permitted) -> None:
        """Call `answer`, now or later, with the user's permissions in the vhost, or None if there are none.

        inside: the connection is one within this process, whose user is one of the broker's own.
        """
        backend = self._internal if inside else self._backend
        backend.permit(user, vhost, answer)

    def use(self, backend: AuthBackend) -> None:
        """Ask this backend from now on."""
        self._backend = backend

    def _judged(self, user: User | None, name: str, guess: Guess, host: str, protocol: str) -> User | None:
        """Return the user, if the guard and the address allow it; count the attempt."""
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
