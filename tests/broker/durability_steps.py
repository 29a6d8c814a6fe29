"""Scripts of the model of durability: the queues of a run, and steps that a seed chooses."""

import random
from typing import Any

from amqpbroker.wire.values import Field, Table, longstr
from tests.model import NONE, Retry, Spec

Step = tuple[Any, ...]


def arguments(spec: Spec) -> Table:
    table: Table = {}
    if spec.quorum:
        table["x-queue-type"] = longstr("quorum")
    if spec.delivery_limit is not None:
        table["x-delivery-limit"] = Field("I", spec.delivery_limit)
    if spec.retry is not None:
        table |= {
            "x-delayed-retry-type": longstr(spec.retry.returns),
            "x-delayed-retry-min": Field("I", spec.retry.min_ms),
            "x-delayed-retry-max": Field("I", spec.retry.max_ms),
        }
        if spec.retry.multiplier:
            table["x-delayed-retry-multiplier"] = Field("d", spec.retry.multiplier)
    if spec.expires_anywhere:
        table["x-message-ttl-mode"] = longstr("any")
    numbers = {
        "x-max-priority": spec.max_priority or NONE,
        "x-message-ttl": spec.ttl_ms,
        "x-max-length": spec.max_length,
    }
    table |= {name: Field("I", number) for name, number in numbers.items() if number >= 0}
    if spec.letters:
        table |= {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr(spec.letters)}
    return table


def specs(chance: random.Random) -> tuple[Spec, ...]:
    """Return the queues of a run: one that retries, three that dead-letter for other reasons, two without.

    Two more delay what is returned to them: one up to a limit of deliveries, one with a limit of its length.
    """

    def kind() -> dict[str, Any]:
        return chance.choice(({}, {"max_priority": 5}, {"quorum": True}))

    def retry() -> Retry:
        min_ms = chance.choice((7, 37))
        return Retry(chance.choice(("all", "failed", "returned")), min_ms, min_ms * 10, chance.choice((0, 1, 2.5)))

    return (
        Spec("work", letters="retry", **kind()),
        Spec("retry", ttl_ms=chance.choice((50, 200)), letters="work"),
        Spec("capped", max_length=chance.choice((3, 8)), letters="overflow", **kind()),
        Spec("timed", ttl_ms=chance.choice((NONE, 100)), letters="expired", **chance.choice(({}, {"quorum": True}))),
        Spec("limited", quorum=True, delivery_limit=chance.choice((2, NONE)), letters="exhausted"),
        Spec("loose", **kind()),
        Spec("plain", **kind()),
        Spec("backoff", delivery_limit=chance.choice((1, 3)), letters="given_up", retry=retry(), **kind()),
        Spec("slow", max_length=chance.choice((NONE, 5)), ttl_ms=chance.choice((NONE, 310)), retry=retry(), **kind()),
        *(Spec(name) for name in ("overflow", "expired", "exhausted", "given_up")),
    )


#: Fraction of persistent messages.
PERSISTENT = 0.8


FANOUT = ("work", "capped", "plain", "slow")


TARGETS = ("work", "work", "capped", "timed", "limited", "loose", "plain", "plain", "backoff", "backoff", "slow")


QUEUES = (*dict.fromkeys(TARGETS), "retry", "overflow", "expired", "exhausted", "given_up")


def steps(chance: random.Random, count: int) -> list[Step]:
    """Return a script. Runs differ in their character: how fast the disk is, how often the broker crashes."""
    disk, crash, fault = chance.choice((5, 20, 100)), chance.choice((1, 3, 8)), chance.choice((0, 1, 3))
    moods = {
        "publish": 40,
        "fan": 12,
        "transact": 10,
        "get": 25,
        "take": chance.choice((2, 10, 30)),
        "consume": 5,
        "cancel": 2,
        "ack": 20,
        "nack": 14,
        "fail": 7,
        "purge": 1,
        "delete": 2,
        "declare": 3,
        "advance": 8,
        "disk": disk,
        "crash": crash,
        "cut": fault,
        "break_disk": fault,
    }
    names = chance.choices(list(moods), list(moods.values()), k=count)
    return [(name, *_details(name, chance)) for name in names]


def _message(chance: random.Random) -> tuple[Any, ...]:
    """Return persistent, priority, expiration and size in bytes."""
    return (
        chance.random() < PERSISTENT,
        chance.choice((0, 0, 1, 4, 5, 9)),
        chance.choice((NONE, NONE, NONE, 30, 150)),
        chance.choice((10, 10, 100, 700, 3000)),
    )


def _details(name: str, chance: random.Random) -> tuple[Any, ...]:
    any_number = chance.randrange(1 << 16)
    match name:
        case "publish":
            return (chance.choice(TARGETS), *_message(chance))
        case "fan":
            return _message(chance)
        case "transact":
            targets = tuple(chance.choice((*TARGETS, "*")) for _ in range(chance.randint(0, 4)))
            how = chance.choice(("ack", "ack", "requeue", "fail", "reject"))
            return targets, *_message(chance), chance.randint(0, 3), how, chance.random() < 0.9
        case "get":
            return chance.choice(QUEUES), chance.choice(("consumer", "consumer", "transaction"))
        case "take":
            return chance.choice(QUEUES), chance.choice((1, 3, 10))
        case "consume":
            return chance.choice(QUEUES), chance.choice((1, 3, 10))
        case "cancel" | "purge":
            return (chance.choice(QUEUES),)
        case "ack":
            return any_number, chance.random() < 0.3
        case "nack":
            return any_number, chance.random() < 0.3, chance.random() < 0.5
        case "advance":
            return (chance.choice((1, 30, 60, 200, 1000)),)
        case "disk":
            return (chance.choice((1, 1, 3)),)
        case "crash":
            return chance.choice(("kill", "power")), any_number
        case "cut":
            return chance.randint(1, 12), chance.choice(("kill", "power")), any_number
        case "fail":
            return (any_number,)
        case "break_disk":
            return chance.choice(("write", "sync")), chance.randint(1, 5)
    return ()
