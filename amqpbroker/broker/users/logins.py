"""Logins by all protocols: checks, limits and counts."""

from typing import final

from amqpbroker.broker.counters.totals import AuthAttempts
from amqpbroker.broker.users.auth_backend import AuthBackend, Identified, InternalBackend, Permitted
from amqpbroker.broker.users.login_guard import Guess, LoginGuard
from amqpbroker.broker.users.users import User, Users
from amqpbroker.clock import Clock
from amqpbroker.config.bounds import BOUNDS

#: Names of protocols in RabbitMQ's counts.
AMQP = "amqp091"
HTTP = "http"


@final
class Logins:
    """The logins of all protocols, which use the same backend. attempts: counts them.

    Neither the answer to a refused login nor the time it takes reveals the reason: an unknown user name takes the same
    work as a wrong password.
    """

    def __init__(self, users: Users, clock: Clock, attempts: AuthAttempts, guesses: int = BOUNDS.guesses) -> None:
        """guesses: maximum number of pairs of user and address that are recorded after a failed login."""
        self._attempts = attempts
        self._users = users
        self._internal = InternalBackend(users)
        self._backend: AuthBackend = self._internal
        self._guard = LoginGuard(clock, guesses)

    def identify(self, name: str, password: bytes, host: str, protocol: str, answer: Identified) -> None:
        """Call `answer`, now or later, with the user of the password, or None if the login is refused."""
        guess = self._guard.guess(name, password, host)

        def judge(user: User | None) -> None:
            answer(self._judged(user, name, guess, host, protocol))

        self._backend.identify(name, password, judge)

    def identify_certified(self, name: str, host: str, protocol: str, answer: Identified) -> None:
        """Do the same for a name that a verified certificate proves; "" if it proves none."""

        def judge(user: User | None) -> None:
            answer(self._counted(user if self._users.may_log_in_from(name, host) else None, protocol))

        if name:
            self._backend.identify_certified(name, judge)
        else:
            judge(None)

    def permit(self, user: User, inside: bool, vhost: str, answer: Permitted) -> None:
        """Call `answer`, now or later, with the user's permissions in the vhost, or None if there are none.

        inside: the connection is within this process, and its user is one of the broker's own.
        """
        backend = self._internal if inside else self._backend
        backend.permit(user, vhost, answer)

    def current(self, user: User) -> User | None:
        """Return a user that has logged in, in its current state; None if its login is no longer valid."""
        return self._backend.current(user)

    @property
    def answers_at_once(self) -> bool:
        """Return whether `permit` always answers within the call."""
        return self._backend.answers_at_once

    def use(self, backend: AuthBackend) -> None:
        """Use this backend from now on."""
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

    def _counted(self, user: User | None, protocol: str) -> User | None:
        self._attempts.count(protocol, user is not None)
        return user
