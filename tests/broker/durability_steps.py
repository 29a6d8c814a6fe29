"""Scripts of the model of durability: the queues of a run, and steps that a seed chooses."""

import random
from typing import Any

from amqpbroker.wire.values import Field, Table, longstr
from tests.model import NONE, Spec

Step = tuple[Any, ...]


def arguments(spec: Spec) -> Table:
    table: Table = {}
    if spec.quorum:
        table |= {"x-queue-type": longstr("quorum"), "x-delivery-limit": Field("I", spec.delivery_limit)}
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
    """Return the queues of a run: one that retries, three that dead-letter for other reasons, two without."""

    def kind() -> dict[str, Any]:
        return chance.choice(({}, {"max_priority": 5}, {"quorum": True}))

    return (
        Spec("work", letters="retry", **kind()),
        Spec("retry", ttl_ms=chance.choice((50, 200)), letters="work"),
        Spec("capped", max_length=chance.choice((3, 8)), letters="overflow", **kind()),
        Spec("timed", ttl_ms=chance.choice((NONE, 100)), letters="expired", **chance.choice(({}, {"quorum": True}))),
        Spec("limited", quorum=True, delivery_limit=chance.choice((2, NONE)), letters="exhausted"),
        Spec("loose", **kind()),
        Spec("plain", **kind()),
        *(Spec(name) for name in ("overflow", "expired", "exhausted")),
    )


#: Fraction of persistent messages.
PERSISTENT = 0.8


FANOUT = ("work", "capped", "plain")


TARGETS = ("work", "work", "capped", "timed", "limited", "loose", "plain", "plain")


QUEUES = ("work", "retry", "capped", "timed", "limited", "loose", "plain", "overflow", "expired", "exhausted")


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
        "purge": 1,
        "delete": 2,
        "declare": 3,
        "advance": 8,
        "disk": disk,
        "crash": crash,
        "cut": fault,
        "fail": fault,
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
            how = chance.choice(("ack", "ack", "requeue", "reject"))
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
            return chance.choice(("write", "sync")), chance.randint(1, 5)
    return ()
