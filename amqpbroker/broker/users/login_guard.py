"""Slows down clients that guess passwords, and no others."""

import hashlib
import ipaddress
import logging
import secrets
from dataclasses import dataclass, field
from typing import NamedTuple, final

from amqpbroker.clock import Clock
from amqpbroker.config.bounds import BOUNDS

log = logging.getLogger(__name__)

#: Number of different wrong passwords for a user that an address may send before it has to pause.
FREE_GUESSES = 10

#: The first pause. It doubles with each further wrong password, up to the maximum.
PAUSE_MS = 1_000
MAX_PAUSE_MS = 300_000

#: Time without a wrong password after which the wrong ones are forgotten. In that time the longest pause allows more
#: guesses than the free ones, so that waiting has no advantage.
FORGET_MS = 3_600_000


class Guess(NamedTuple):
    """A password that a client has sent, as a digest that is useful in this process only."""

    pair: tuple[str, str]
    digest: bytes


@final
@dataclass(slots=True)
class _Record:
    """The record of one address and user. accepted: the last password that was correct."""

    accepted: bytes = b""
    wrong: list[bytes] = field(default_factory=list)
    count: int = 0
    last_ms: int = 0
    paused_until_ms: int = 0


@final
class LoginGuard:
    """Refuses, for a while, passwords for a user from an address that has sent many different wrong ones.

    A client that sends the same wrong password again and again is not guessing, and is never slowed down. Nor is a
    client with a password that was correct before, regardless of other clients at the same address, such as a build
    machine.

    Call `allows` before a login, and if it is allowed, call `accepted` or `rejected` with its result. Pass names of
    existing users only: otherwise invented names would displace them.
    """

    def __init__(self, clock: Clock, most: int = BOUNDS.guesses) -> None:
        """most: maximum number of pairs of user and address; beyond it the least recently used pair is dropped."""
        self._clock = clock
        self._most = most
        self._key = secrets.token_bytes(32)
        self._records: dict[tuple[str, str], _Record] = {}

    def guess(self, name: str, password: bytes, host: str) -> Guess:
        digest = hashlib.blake2b(password, key=self._key, salt=b"login guard", digest_size=16).digest()
        return Guess((network(host), name), digest)

    def allows(self, guess: Guess) -> bool:
        record = self._records.get(guess.pair)
        return (
            record is None
            or guess.digest == record.accepted
            or guess.digest in record.wrong
            or self._clock.now_ms() >= record.paused_until_ms
        )

    def accepted(self, guess: Guess) -> None:
        """Record a correct password. Earlier wrong ones still count, because they may be from another client."""
        self._record(guess).accepted = guess.digest

    def rejected(self, guess: Guess) -> None:
        record = self._record(guess)
        now_ms = self._clock.now_ms()
        if now_ms - record.last_ms >= FORGET_MS:
            record.wrong.clear()
            record.count = 0
        record.last_ms = now_ms
        if guess.digest in record.wrong:
            return
        record.wrong = [*record.wrong[1 - FREE_GUESSES :], guess.digest]
        record.count += 1
        if record.count >= FREE_GUESSES:
            pause_ms = min(PAUSE_MS << min(record.count - FREE_GUESSES, 30), MAX_PAUSE_MS)
            record.paused_until_ms = now_ms + pause_ms
            address, name = guess.pair
            log.warning(
                "user '%s' from %s: %d different wrong passwords; further ones are refused for %d s",
                name,
                address,
                record.count,
                pause_ms // 1000,
            )

    def _record(self, guess: Guess) -> _Record:
        """Return the record of the pair, and make it the most recently used one."""
        record = self._records.pop(guess.pair, None) or _Record()
        self._records[guess.pair] = record
        if len(self._records) > self._most:
            del self._records[next(iter(self._records))]
        return record


def network(host: str) -> str:
    """Return the part of an address that its owner cannot choose freely: for IPv6 the first half."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address.packed[:8] + bytes(8), 64)))
    return host
