"""Answers of several brokers that are no lists, merged."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from amqpbroker.management.call import Answer
from amqpbroker.management.definitions.division import CONTENTS
from amqpbroker.management.definitions.export import Exported
from amqpbroker.management.routes.health import Alarms, alarms_in_cluster


def union(here: list[Any], others: list[list[Any]]) -> list[Any]:
    """Return the rows of all brokers, each once."""
    found = list(here)
    for rows in others:
        found += [row for row in rows if row not in found]
    return found


#: Parts of the overview that are added up, and lists of it that have entries of all brokers.
_COUNTED = ("message_stats", "churn_rates", "queue_totals", "object_totals")
_LISTED = ("listeners", "contexts")


def merged_overview(here: dict[str, Any], others: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the overview of all brokers: their sums and listeners; all else as this broker shows it."""
    shown = dict(here)
    for key in _COUNTED:
        found = [overview[key] for overview in (here, *others) if key in overview]
        if found:
            shown[key] = summed(found)
    for key in _LISTED:
        if key in here:
            shown[key] = [row for overview in (here, *others) for row in overview.get(key, ())]
    return shown


def summed(several: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return counts that are added up, with their rates, and with the samples of the same times."""
    total: dict[str, Any] = {}
    for key in dict.fromkeys(key for each in several for key in each):
        values = [each[key] for each in several if key in each]
        if key == "samples":
            total[key] = _samples(values)
        elif isinstance(values[0], dict):
            total[key] = summed(values)
        else:
            total[key] = sum(values)
    return total


def _samples(several: list[list[dict[str, int]]]) -> list[dict[str, int]]:
    """Return the samples of all, the newest first."""
    found: Counter[int] = Counter()
    for samples in several:
        for sample in samples:
            found[sample["timestamp"]] += sample["sample"]
    return [{"sample": found[at_ms], "timestamp": at_ms} for at_ms in sorted(found, reverse=True)]


def merged_nodes(here: list[dict[str, Any]], others: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the nodes that one broker knows, with what others say of themselves."""
    own = {row.get("process", row["name"]): row for part in others for row in part}
    shown = [own.pop(row.get("process", row["name"]), row) for row in here]
    return [*shown, *own.values()]


def merged_node(here: dict[str, Any], others: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a node as it says of itself, or else as another broker knows it."""
    return next((row for row in others if "name" in row), here)


def merged_alarms(here: Any, others: list[Alarms]) -> Any:
    """Return the check of all brokers. here: the check of this one. others: alarms of each of the others."""
    found: Alarms = here.json["alarms"] if isinstance(here, Answer) else []
    return alarms_in_cluster([*found, *(alarm for each in others for alarm in each)])


def merged_exports(here: Exported, others: list[dict[str, Any]]) -> Exported:
    """Return the definitions of all brokers: those of vhosts from each, and those that concern all from this one."""
    document = dict(here.document)
    for section in CONTENTS:
        further = [row for other in others for row in other[section]]
        document[section] = document[section].with_rows(further)
    return here._replace(document=document)
