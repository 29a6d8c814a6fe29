"""Scripts of the model of durability: the queues of a run, and steps that a seed chooses."""

import random
from typing import Any

from amqpbroker.wire.values import Field, Table, longstr
from tests.model.batches import EVENTS
from tests.model.copies import NONE, Membership
from tests.model.spec import Deduplication, Grouping, LastValue, Lock, Retry, Spec

Step = tuple[Any, ...]

#: Header of the key by which queues recognise duplicates, earlier values and groups.
KEY = "key"
#: Header of the version of a message.
VERSION = "version"


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
    if spec.single_active:
        table["x-single-active-consumer"] = Field("t", True)
    if spec.lock is not None:
        table["x-consumer-timeout"] = Field("I", spec.lock.timeout_ms)
        table["x-consumer-timeout-action"] = longstr(spec.lock.action)
    if spec.deduplication is not None:
        table |= _of_deduplication(spec.deduplication)
    if spec.last_value is not None:
        table["x-last-value-key"] = longstr(KEY)
        table["x-last-value-position"] = longstr("tail" if spec.last_value.at_tail else "old")
        table["x-last-value-dead-letter"] = Field("t", spec.last_value.letters)
    if spec.groups is not None:
        table |= _of_groups(spec.groups)
    numbers = {
        "x-max-priority": spec.max_priority or NONE,
        "x-message-ttl": spec.ttl_ms,
        "x-max-length": spec.max_length,
    }
    table |= {name: Field("I", number) for name, number in numbers.items() if number >= 0}
    if spec.letters:
        table |= {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr(spec.letters)}
    return table


def _of_deduplication(options: Deduplication) -> Table:
    table: Table = {
        "x-message-deduplication": Field("t", True),
        "x-deduplication-header": longstr(KEY),
        "x-deduplication-scope": longstr(options.scope),
    }
    if options.ttl_ms >= 0:
        table["x-cache-ttl"] = Field("I", options.ttl_ms)
    if options.size >= 0:
        table["x-cache-size"] = Field("I", options.size)
    if not options.on_disk:
        table["x-cache-persistence"] = longstr("memory")
    return table


def _of_groups(options: Grouping) -> Table:
    table: Table = {"x-group-header": longstr(KEY), "x-group-on-dead": longstr(options.on_dead)}
    if options.is_fair:
        table["x-group-type"] = longstr("fair")
    if options.prefetch > 1:
        table["x-group-prefetch"] = Field("I", options.prefetch)
    if options.version_ttl_ms >= 0:
        table["x-group-version-header"] = longstr(VERSION)
        table["x-group-version-ttl"] = Field("I", options.version_ttl_ms)
    return table


def specs(chance: random.Random) -> tuple[Spec, ...]:
    """Return the queues of a run: one that retries, three that dead-letter for other reasons, two without.

    Two more delay what is returned to them: one up to a limit of deliveries, one with a limit of its length.
    """

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
        Spec("backoff", delivery_limit=chance.choice((1, 3)), letters="given_up", retry=_retry(chance), **kind()),
        Spec(
            "slow",
            max_length=chance.choice((NONE, 5)),
            ttl_ms=chance.choice((NONE, 310)),
            retry=_retry(chance),
            **kind(),
        ),
        *(Spec(name) for name in SINKS),
    )


def membership(batch: int, member: int) -> Membership | None:
    """Return the headers of a member of a batch, None without a batch. Members of a batch agree."""
    if batch < 0:
        return None
    events = (("death", "complete", "success"), ("complete",), ("complete", "success"))[batch % 3]
    size = batch % 4 + 1
    return Membership(f"b{batch}", f"m{member % size}", size if member != 1 else NONE, events)


def batch_headers(batch: Membership) -> Table:
    headers: Table = {"x-batch-id": longstr(batch.id), "x-batch-events": longstr(",".join(batch.events))}
    headers["x-batch-routing-key"] = longstr(EVENTS)
    if batch.size >= 0:
        headers["x-batch-size"] = Field("I", batch.size)
    return headers


def varied(plain: tuple[Spec, ...], chance: random.Random) -> tuple[Spec, ...]:
    """Return the queues with random combinations of more features, as far as they are allowed together.

    One more queue has dead letters. No two queues share theirs: if messages of both expire at the same time, the order
    of the letters is not defined.
    """
    more = chance.choice(("loose", "plain", "slow"))
    plain = tuple(spec._replace(letters="dropped") if spec.name == more else spec for spec in plain)
    featured = tuple(spec._replace(**_features(spec, chance)) for spec in (*plain, Spec("dropped")))
    return *featured, Spec(EVENTS)


def _features(spec: Spec, chance: random.Random) -> dict[str, Any]:
    features: dict[str, Any] = {}

    def add(likely: float, name: str, *values: Any) -> None:
        if chance.random() < likely:
            features[name] = chance.choice(values)

    add(0.4, "single_active", True)
    add(0.3, "expires_anywhere", True)
    # The queue that is deleted has consumers that cannot be cancelled any more.
    actions = ("return",) if spec.name == "loose" else ("return", "cancel")
    add(0.4, "lock", *(Lock(ms, action) for ms in (83, 271) for action in actions))
    duplicates = [Deduplication("queue", on_disk=on_disk) for on_disk in (True, True, False)]
    duplicates += [Deduplication("window", 61, 3), Deduplication("window", 403), Deduplication("window", size=2)]
    duplicates += [Deduplication("window", 2003, on_disk=False)]
    match chance.choice(("", "deduplication", "last_value", "groups", "groups")):
        case "deduplication":
            features["deduplication"] = chance.choice(duplicates)
        case "last_value":
            features["last_value"] = LastValue(chance.random() < 0.3, chance.random() < 0.5)
        case "groups":
            features |= {"groups": _groups(spec, chance), "max_priority": 0}
    if spec.ttl_ms == NONE:
        add(0.1, "ttl_ms", 103, 509)
    if spec.max_length == NONE and features.get("groups", Grouping()).on_dead == "skip":
        add(0.1, "max_length", 2, 6)
    if spec.retry is None and spec.name != "retry":
        add(0.1, "retry", _retry(chance))
    if spec.delivery_limit is None:
        add(0.1, "delivery_limit", 1, 3)
    return features


def _groups(spec: Spec, chance: random.Random) -> Grouping:
    if chance.random() < 0.2:
        return Grouping(is_fair=True)
    # A queue that drops messages would drop them out of their groups.
    on_dead = chance.choice(("skip", "park", "follow", "follow")) if spec.max_length == NONE else "skip"
    return Grouping(on_dead, chance.choice((1, 1, 2, 3)), version_ttl_ms=chance.choice((NONE, NONE, 211, 86_400_000)))


def _retry(chance: random.Random) -> Retry:
    min_ms = chance.choice((7, 37))
    return Retry(chance.choice(("all", "failed", "returned")), min_ms, min_ms * 10, chance.choice((0, 1, 2.5)))


#: Queues of dead letters that have no dead letters of their own.
SINKS = ("overflow", "expired", "exhausted", "given_up")


#: Fraction of persistent messages.
PERSISTENT = 0.8


FANOUT = ("work", "capped", "plain", "slow")


TARGETS = ("work", "work", "capped", "timed", "limited", "loose", "plain", "plain", "backoff", "backoff", "slow")


QUEUES = (*dict.fromkeys(TARGETS), "retry", *SINKS, "dropped")

KEYS = ("", "", "a", "b", "c", "d")


def steps(chance: random.Random, count: int) -> list[Step]:
    """Return a script. Runs differ in their character: how fast the disk is, how often the broker crashes.

    Most operations of a run are on few of the queues.
    """
    busy = tuple(chance.sample(sorted(set(TARGETS)), 3))
    disk, crash, fault = chance.choice((5, 20, 100)), chance.choice((1, 1, 3, 8)), chance.choice((0, 0, 1, 3))
    moods = {
        "publish": 40,
        "fan": 12,
        "transact": 10,
        "get": 25,
        "take": chance.choice((2, 10, 30)),
        "consume": 20,
        "cancel": 8,
        "ack": 20,
        "nack": 14,
        "fail": 7,
        "settle_late": 5,
        "renew": 4,
        "renew_all": 1,
        "renew_late": 1,
        "resume": 6,
        "redrive": 4,
        "purge": 1,
        "delete": 2,
        "declare": 3,
        "advance": 12,
        "disk": disk,
        "crash": crash,
        "cut": fault,
        "break_disk": fault,
    }
    names = chance.choices(list(moods), list(moods.values()), k=count)
    return [(name, *_details(name, chance, busy)) for name in names]


def _message(chance: random.Random) -> tuple[Any, ...]:
    """Return persistent, priority, expiration, size in bytes, key, version, and numbers of batch and member."""
    return (
        chance.random() < PERSISTENT,
        chance.choice((0, 0, 1, 4, 5, 9)),
        chance.choice((NONE, NONE, NONE, 30, 150)),
        chance.choice((10, 10, 100, 700, 3000)),
        chance.choice(KEYS),
        chance.choice((0, 1, 2, 3, 4)),
        chance.choice((NONE, NONE, *range(12))) if chance.random() < 0.5 else NONE,
        chance.randrange(5),
    )


def _details(name: str, chance: random.Random, busy: tuple[str, ...]) -> tuple[Any, ...]:
    any_number = chance.randrange(1 << 16)
    target, queue = (chance.choice(busy if chance.random() < 0.6 else others) for others in (TARGETS, QUEUES))
    match name:
        case "publish":
            return (target, *_message(chance))
        case "fan":
            return _message(chance)
        case "transact":
            targets = tuple(chance.choice((*busy, *TARGETS, "*")) for _ in range(chance.randint(0, 4)))
            how = chance.choice(("ack", "ack", "requeue", "fail", "reject"))
            return targets, *_message(chance), chance.randint(0, 3), how, chance.random() < 0.9
        case "get":
            return queue, chance.choice(("consumer", "consumer", "transaction"))
        case "take":
            return queue, chance.choice((1, 3, 10))
        case "consume":
            return chance.choice((*busy, queue)), chance.choice((1, 3, 10)), chance.choice((0, 1, 2))
        case "cancel":
            return chance.choice((*busy, queue)), any_number
        case "resume":
            return any_number, chance.random() < 0.3
        case "redrive":
            name = chance.choice(("retry", "work", "dropped", *SINKS))
            destination = chance.choice(("", "", "", *busy))
            reason = chance.choice(("", "", "", "rejected", "expired"))
            return name, destination, chance.random() < 0.3, chance.choice((NONE, NONE, 1, 3)), reason
        case "purge":
            return (queue,)
        case "ack":
            return any_number, chance.random() < 0.3
        case "nack" | "settle_late":
            return any_number, chance.random() < 0.3, chance.random() < 0.5
        case "advance":
            return (chance.choice((1, 30, 60, 200, 1000)),)
        case "disk":
            return (chance.choice((1, 1, 3)),)
        case "crash":
            return chance.choice(("kill", "power")), any_number
        case "cut":
            return chance.randint(1, 12), chance.choice(("kill", "power")), any_number
        case "fail" | "renew_late":
            return (any_number,)
        case "renew":
            return chance.choice(("consumer", "consumer", "transaction")), any_number, chance.choice((NONE, 0, 50, 700))
        case "renew_all":
            return (chance.choice(("consumer", "transaction")),)
        case "break_disk":
            return chance.choice(("write", "sync")), chance.randint(1, 5)
    return ()
