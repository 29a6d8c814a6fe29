"""Counts with their rates and, where they are asked for, samples (rabbit_mgmt_stats.erl)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, final

from amqpbroker.broker.rates import Rates
from amqpbroker.broker.stats import Counted, named
from amqpbroker.management import failure
from amqpbroker.management.formats.erlang import NO_RATE

#: The most samples of one number.
MAX_SAMPLES = 1_000

#: What to ask for the rate of a count, by the count's name.
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
    """Of the last interval."""
    sample = counted.sample
    if sample is None or sample.counters is sample.before:
        return no_rates
    found = rates.of(counted)
    return lambda name: {"rate": found.get(name, 0.0)}


@final
@dataclass(frozen=True, slots=True)
class Range:
    """How far back samples are wanted, and how far apart."""

    age_ms: int
    step_ms: int


def asked_range(query: Mapping[str, str], kind: str) -> Range | None:
    """What the parameters KIND_age and KIND_incr ask for, in seconds. Raises ApiError 400."""
    age, step = query.get(f"{kind}_age"), query.get(f"{kind}_incr")
    if not age or not step:
        return None
    try:
        found = Range(int(age) * 1000, int(step) * 1000)
    except ValueError:
        raise failure.bad_request(f"invalid {kind}_age or {kind}_incr") from None
    if found.step_ms <= 0 or not 0 <= found.age_ms <= found.step_ms * MAX_SAMPLES:
        raise failure.bad_request(f"invalid {kind}_age or {kind}_incr")
    return found


def sampled(rates: Rates, several: Iterable[Counted], wanted: Range | None) -> Details:
    """The rates of several things taken together; with samples if there is a range."""
    several = list(several)
    found = [rates.of(counted) for counted in several]

    def details(name: str) -> Any:
        shown: dict[str, Any] = {"rate": sum([each.get(name, 0.0) for each in found])}
        if wanted is not None:
            shown.update(_samples(histories, name, wanted))
        return shown

    histories = [_history(rates, counted) for counted in several] if wanted is not None else []
    return details


def _history(rates: Rates, counted: Counted) -> list[tuple[int, dict[str, int]]]:
    """At least what was counted last, where there is no history yet."""
    points = rates.history(counted)
    sample = counted.sample
    if not points and sample is not None:
        points = [(sample.at_ms, named(counted.counter_names, sample.counters))]
    return points


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
