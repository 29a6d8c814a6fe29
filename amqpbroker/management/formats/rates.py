"""Counts with their rates and, where they are asked for, samples (rabbit_mgmt_stats.erl)."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, final

from amqpbroker.broker.counters.rates import Rates
from amqpbroker.broker.counters.stats import CONNECTION_COUNTERS, Counted
from amqpbroker.management import failure
from amqpbroker.management.formats.shared import NO_RATE

#: How many steps a range has at most.
MAX_STEPS = 500

#: No longer than what a JSON number can hold in milliseconds.
_NUMBER = re.compile(r"[+-]?[0-9]{1,15}")

#: Returns the rate of a count, and its samples if they are requested, by the count's name.
Details = Callable[[str], Any]


def with_details(counts: Mapping[str, int], details: Details) -> dict[str, Any]:
    """Each count, and its rate beside it."""
    shown: dict[str, Any] = {}
    for name, count in counts.items():
        shown[name] = count
        shown[f"{name}_details"] = details(name)
    return shown


def no_rates(name: str) -> Any:
    return NO_RATE


def rates_of(rates: Rates, counted: Counted) -> Details:
    """Return the rates of the last interval."""
    sample = counted.sample
    if sample is None or sample.counters is sample.before:
        return no_rates
    found = rates.of(counted)
    return lambda name: {"rate": found.get(name, 0.0)}


@final
@dataclass(frozen=True, slots=True)
class Range:
    """Age of the oldest sample that is requested, and the time between samples."""

    age_ms: int
    step_ms: int


class Ranges(NamedTuple):
    """Ranges of requested samples: of queue lengths, message rates, bytes of connections, and the node."""

    lengths: Range | None = None
    msg_rates: Range | None = None
    data_rates: Range | None = None
    node_stats: Range | None = None

    def of(self, name: str) -> Range | None:
        """The one for a count of that name."""
        if name.startswith("messages"):
            return self.lengths
        return self.data_rates if name in CONNECTION_COUNTERS else self.msg_rates


def asked_ranges(query: Mapping[str, str], listed: bool = False) -> Ranges:
    """Return the ranges that the parameters KIND_age and KIND_incr request, in seconds; None if one is no number.

    listed: whether the request is for a list that RabbitMQ fills up with samples. Raises ApiError 400.
    """
    return Ranges(*[_asked_range(query, kind, listed) for kind in Ranges._fields])


def _asked_range(query: Mapping[str, str], kind: str, listed: bool) -> Range | None:
    age, step = query.get(f"{kind}_age", ""), query.get(f"{kind}_incr", "")
    if not _NUMBER.fullmatch(age) or not _NUMBER.fullmatch(step):
        return None
    age_s, step_s = int(age), int(step)
    if age_s <= 0 or step_s <= 0 or age_s // step_s > MAX_STEPS:
        raise failure.wrong_range(age_s, step_s, listed)
    return Range(age_s * 1000, step_s * 1000)


def sampled(rates: Rates, several: Iterable[Counted], wanted: Ranges) -> Details:
    """The rates of several things taken together; with samples where there is a range."""
    several = list(several)
    found = [rates.of(counted) for counted in several]

    def details(name: str) -> Any:
        shown: dict[str, Any] = {"rate": sum([each.get(name, 0.0) for each in found])}
        asked = wanted.of(name)
        if asked is not None:
            shown.update(_samples(histories, name, asked))
        return shown

    histories = [rates.history(counted) for counted in several] if any(wanted) else []
    return details


def listed(rates: Rates, counted: Counted, wanted: Ranges) -> Details:
    """Return the same for an object in a list, which has samples only if the object has a history already."""
    if any(wanted) and rates.has_history(counted):
        return sampled(rates, [counted], wanted)
    return rates_of(rates, counted)


def _samples(histories: list[list[tuple[int, dict[str, int]]]], name: str, wanted: Range) -> dict[str, Any]:
    """samples, newest first, and what follows from them: avg_rate, avg. A sample is what was counted last before it."""
    newest = max([history[-1][0] for history in histories if history], default=0)
    last = -(-newest // wanted.step_ms) * wanted.step_ms
    times = range(last, last - wanted.age_ms - 1, -wanted.step_ms)
    totals = dict.fromkeys(times, 0)
    known: set[int] = set()
    for history in histories:
        place = len(history) - 1
        for at_ms in times:
            while place >= 0 and history[place][0] > at_ms:
                place -= 1
            if place < 0:
                break
            known.add(at_ms)
            totals[at_ms] += history[place][1].get(name, 0)
    samples = [{"sample": totals[at_ms], "timestamp": at_ms} for at_ms in times if at_ms in known]
    if not samples:
        return {"samples": [], "avg_rate": 0.0, "avg": 0.0}
    span_ms = samples[0]["timestamp"] - samples[-1]["timestamp"]
    grown = samples[0]["sample"] - samples[-1]["sample"]
    return {
        "samples": samples,
        "avg_rate": grown * 1000 / span_ms if span_ms else 0.0,
        "avg": sum([sample["sample"] for sample in samples]) / len(samples),
    }
