"""Events of a simulated world, and their figures as a table."""

import statistics
from collections.abc import Iterator

from tests.simulation.placement.world import Figures, World, shown

HEAD = (
    "event",
    "vhosts per broker before",
    "after",
    "taken over",
    "by brokers",
    "each",
    "without leader, median",
    "longest",
    "moved",
    "moving, median",
    "longest",
    "at rest after",
    "queries/s",
    "queries/s, one per vhost",
)
#: Time of the figures of brokers at rest.
AT_REST_S = 30.0
#: Time that a broker hangs: longer than its lease.
HANG_S = 15.0


def phases(world: World, restarts: int) -> Iterator[Figures]:
    """Yield the figures of one event after another. restarts: number of brokers that are restarted at the end."""
    brokers = world.identities
    world.place()
    yield world.event("none", lambda: world.events.run_until(world.events.now_s + AT_REST_S))
    lost = world.some(1)
    yield world.event("one dies", lambda: world.lose(lost[0]))
    yield world.event("it starts again", lambda: world.start(lost[0].identity))
    machine = world.some(1)
    yield world.event("a machine dies, connections stay", lambda: world.lose(machine[0], connections_stay=True))
    yield world.event("it starts again", lambda: world.start(machine[0].identity))
    hung = world.some(1)
    yield world.event(f"one hangs for {HANG_S:.0f} s", lambda: world.hang(hung[0], HANG_S))
    many = world.some(max(1, len(brokers) // 10))
    yield world.event(f"{len(many)} die at once", lambda: [world.lose(each) for each in many] and None)
    yield world.event("they start again", lambda: world.start(*(each.identity for each in many)))
    yield world.event("a new one joins", lambda: world.start("amqpbroker@10.1.0.1:5672"))
    yield world.event("it leaves", lambda: world.stop(world.brokers["amqpbroker@10.1.0.1:5672"]))
    waiting = list(brokers[:restarts])

    def restart() -> bool:
        if waiting:
            world.restart(world.brokers[waiting.pop(0)])
            return True
        return False

    yield world.event(f"{restarts} restart one after another", lambda: None, restart)
    yield world.event("an operator rebalances", lambda: world.table.rebalance(True))
    world.table.rebalance(False)


def row(figures: Figures) -> tuple[str, ...]:
    each = sorted(figures.taken.values())
    return (
        figures.name,
        shown(figures.before),
        shown(figures.after),
        f"{sum(each):,}",
        f"{len(each)}",
        shown(each),
        *_times(figures.without_s),
        f"{figures.moved:,}",
        *_times(figures.moving_s),
        f"{figures.took_s:.0f} s",
        f"{figures.queries:,.0f}",
        f"{figures.queries_of_each:,.0f}",
    )


def _times(times_s: list[float]) -> tuple[str, str]:
    """Describe times by the median and the longest."""
    return (f"{statistics.median(times_s):.2f} s", f"{max(times_s):.2f} s") if times_s else ("-", "-")


def table(rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [HEAD, ("---", *["--:"] * (len(HEAD) - 1)), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
