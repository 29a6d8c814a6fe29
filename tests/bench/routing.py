"""Routing keys and bindings of an application: areas, kinds and events of a shop."""

import random
from collections.abc import Iterator

from amqpbroker.wire.values import Field, Table, longstr
from tests.bench.application import ATTEMPTS, TENANTS

QUEUES = 4
HEADERS_QUEUES = 10

_AREAS = ("at", "ch", "de", "dk", "es", "fr", "it", "nl", "pl", "se")
_KINDS = ("customer", "invoice", "order", "parcel", "payment", "refund")
_EVENTS = ("created", "changed", "confirmed", "deleted")

#: 240 keys, such as de.order.created.
TOPIC_KEYS = tuple(f"{area}.{kind}.{event}" for area in _AREAS for kind in _KINDS for event in _EVENTS)

_EXACT_PER_QUEUE = 50
_PATTERNS = ("se.#", "pl.#", "*.refund.*", "*.*.deleted")

SHORTEST_KEY_BYTES, LONGEST_KEY_BYTES = 20, 200
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def topic_bindings() -> Iterator[tuple[int, str]]:
    """Yield (number of the queue, pattern): 50 keys and one pattern for each of 4 queues.

    Every key reaches a queue: 200 keys are bound one by one, and `se.#` and `pl.#` match the others.
    """
    for queue, pattern in enumerate(_PATTERNS):
        yield queue, pattern
        for key in TOPIC_KEYS[queue * _EXACT_PER_QUEUE : (queue + 1) * _EXACT_PER_QUEUE]:
            yield queue, key


def own_keys(count: int, seed: int = 1) -> Iterator[str]:
    """Yield different keys of 20 to 200 bytes, each a key of TOPIC_KEYS followed by a number and letters."""
    chance = random.Random(seed)
    for number in range(count):
        start = f"{TOPIC_KEYS[number % len(TOPIC_KEYS)]}.{number:x}."
        wanted = chance.randint(SHORTEST_KEY_BYTES, LONGEST_KEY_BYTES)
        yield start + "".join(chance.choices(_LETTERS, k=max(1, wanted - len(start))))


def own_key_bindings() -> Iterator[tuple[int, str]]:
    """Yield the bindings of `topic_bindings`, which match the keys of `own_keys` too."""
    for queue, pattern in topic_bindings():
        yield queue, pattern if pattern.endswith("#") else f"{pattern}.#"


def headers_bindings() -> Iterator[tuple[int, Table]]:
    """Yield (number of the queue, arguments): 1,000 bindings, of which each message matches one."""
    pairs = [(tenant, attempt) for tenant in TENANTS for attempt in ATTEMPTS]
    for number, (tenant, attempt) in enumerate(pairs):
        arguments: Table = {
            "x-match": longstr("all"),
            "tenant": longstr(tenant),
            "attempt": Field("I", attempt),
        }
        yield number % HEADERS_QUEUES, arguments
