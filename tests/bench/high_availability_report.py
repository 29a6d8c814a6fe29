"""Figures of several brokers with one database beside RabbitMQ's, as a part of docs/performance.md."""

import subprocess

from tests.bench import page
from tests.bench.brokers import OURS, THEIRS, own_version
from tests.bench.high_availability import IN_FLIGHT, LEASE_S, LOADS, MAKERS, RATE, Found, measured
from tests.bench.page import table
from tests.bench.report import times
from tests.postgresql import programs

#: A shape of `make bench` is measured for two seconds, which is short for commits of a database and percentiles.
LONGER = 4


def measure(seconds: float, rounds: int, waiting: int, load: str) -> str:
    """Measure both, and return the text for the page. load: of the machine before the run."""
    found = {}
    for name, make in MAKERS.items():
        with make() as cluster:
            found[name] = measured(cluster, seconds * LONGER, rounds, waiting)
    versions = f"RabbitMQ {found[THEIRS].version}; amqpbroker {own_version()}; {database_version()}"
    return text(found, f"{page.machine()}. {versions}. `make bench`; {load}")


def database_version() -> str:
    """Return the name and version of the database, such as PostgreSQL 15.14."""
    directory = programs()
    assert directory is not None
    done = subprocess.run([directory / "postgres", "--version"], capture_output=True, text=True, check=True)
    return f"PostgreSQL {done.stdout.split()[2]}"


def text(found: dict[str, Found], conditions: str) -> str:
    """Return the text for the page. conditions: the day, the machine, the versions and the load, for a sentence."""
    theirs, ours = found[THEIRS], found[OURS]
    rows = [rate(f"{name}, confirmed", theirs.rates[name], ours.rates[name]) for name in LOADS]
    for percentile in (50.0, 99.0):
        name = f"confirm at {RATE} messages/s, p{percentile:g}"
        rows.append(time(name, theirs.confirm_ms[percentile], ours.confirm_ms[percentile], "ms"))
    for failure, ours_s in ours.failover_s.items():
        rows.append(time(f"first confirm after {failure}", theirs.failover_s.get(failure), ours_s, "s"))
    return (
        f"{conditions}.\n\n"
        "**Several brokers.** Three brokers with one PostgreSQL database that has a synchronous standby, beside three"
        f" nodes of RabbitMQ with a quorum queue. Rates are with {IN_FLIGHT:,} unconfirmed messages. Rates, and times"
        f" of confirms, are medians of {ours.rounds} rounds of {ours.seconds:g} s. {ours.waiting:,} messages wait when"
        f" a leader fails, whose lease is {LEASE_S:g} s. One run.\n\n{table(('figure', THEIRS, OURS, 'ratio'), rows)}"
    )


def rate(name: str, theirs: float, ours: float) -> tuple[str, ...]:
    return name, f"{theirs:,.0f}/s", f"{ours:,.0f}/s", times(ours / theirs)


def time(name: str, theirs: float | None, ours: float, unit: str) -> tuple[str, ...]:
    """Return the row of a time, which RabbitMQ may not have. A ratio above 1 favours amqpbroker."""
    if theirs is None:
        return name, "", f"{ours:.1f} {unit}", ""
    return name, f"{theirs:.1f} {unit}", f"{ours:.1f} {unit}", times(theirs / ours)
