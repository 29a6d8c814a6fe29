"""Passes definitions from amqpbroker to RabbitMQ and back; the export must stay the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from conformance.errors import SetupError
from conformance.management import Management

#: Definitions that a RabbitMQ 4.0.5 has exported, with objects of every kind.
SAMPLE = Path(__file__).parent.parent / "tests" / "management" / "definitions" / "rabbitmq-4.0.5.json"

#: Sections that are compared, in any order of their elements.
SECTIONS = (
    "users",
    "vhosts",
    "permissions",
    "topic_permissions",
    "parameters",
    "global_parameters",
    "policies",
    "queues",
    "exchanges",
    "bindings",
)


def passed_on(document: dict[str, Any], urls: list[str]) -> list[str]:
    """Import into the first broker, its export into the next, and so on; return the differences between the exports.

    urls: management APIs of blank brokers. Raises SetupError if one refuses.
    """
    differences: list[str] = []
    first: dict[str, Any] = {}
    for url in urls:
        management = Management(url)
        management.call("POST", "definitions", document)
        document = management.call("GET", "definitions")
        first = first or document
        differences += [f"{url.rpartition('@')[2]}: {line}" for line in _differences(first, document)]
    return differences


def sample() -> dict[str, Any]:
    """Return the sample. Raises SetupError."""
    try:
        document: dict[str, Any] = json.loads(SAMPLE.read_text())
    except OSError as error:
        raise SetupError(f"{SAMPLE}: {error.strerror}") from error
    return document


def _differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    lines = []
    for section in SECTIONS:
        before, after = (_sorted(document.get(section, [])) for document in (expected, found))
        lines += [f"{section} - {entry}" for entry in before if entry not in after]
        lines += [f"{section} + {entry}" for entry in after if entry not in before]
    return lines


def _sorted(entries: list[Any]) -> list[str]:
    return sorted(json.dumps(entry, sort_keys=True) for entry in entries)
