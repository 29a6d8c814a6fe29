"""Documents of definitions that several brokers import, each a part."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from amqpbroker.broker.shovels.shovels import SHOVEL

#: Sections with objects of a vhost, which its broker makes.
CONTENTS = ("queues", "exchanges", "bindings")
#: Keys that say how a document is to be read.
_HEAD = ("rabbit_version", "rabbitmq_version", "rabbitmq_definition_format")


class Division(NamedTuple):
    """A part of a document. vhost: whose broker imports it, None for the writer of definitions."""

    vhost: str | None
    document: dict[str, Any]


def divided(document: Mapping[str, Any], vhost: str | None) -> list[Division]:
    """Return the parts of a document in the order of their import. vhost: if the document is for that one.

    A document that is invalid anyway is not divided.
    """
    rows = {section: document.get(section) or [] for section in (*CONTENTS, "parameters")}
    if not all(isinstance(found, list) and all(isinstance(row, dict) for row in found) for found in rows.values()):
        return [Division(None, dict(document))]
    head = {key: document[key] for key in _HEAD if key in document}
    by_vhost: dict[str, dict[str, Any]] = {}
    for section in CONTENTS:
        for row in rows[section]:
            name = row.get("vhost") if vhost is None else vhost
            if not isinstance(name, str):
                return [Division(None, dict(document))]
            by_vhost.setdefault(name, dict(head)).setdefault(section, []).append(row)
    # Shovels begin at once, and would declare the queues of the document otherwise.
    shovels = [row for row in rows["parameters"] if row.get("component") == SHOVEL]
    others = [row for row in rows["parameters"] if row.get("component") != SHOVEL]
    of_all = {key: value for key, value in document.items() if key not in CONTENTS}
    if "parameters" in document:
        of_all["parameters"] = others
    parts = [Division(None, of_all), *(Division(name, contents) for name, contents in by_vhost.items())]
    return [*parts, Division(None, {**head, "parameters": shovels})] if shovels else parts
