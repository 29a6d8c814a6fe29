"""A world from one seed: its content, its events, and the checks at its end."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.simulation import bounds, settings, shapes
from tests.simulation.broker_process import configured
from tests.simulation.chance import Chance
from tests.simulation.checks import AT_REST, left_over, module_containers, restart, stops
from tests.simulation.checks.watch import watch
from tests.simulation.counted_rows import counting
from tests.simulation.endless import EndlessError, interrupted_after
from tests.simulation.machine import UNREFUSABLE, Machine
from tests.simulation.scheduler import MS, SECOND
from tests.simulation.steps import Step
from tests.simulation.workloads import WORKLOADS
from tests.simulation.world import World, determined


@dataclass
class Scenario:
    """All data that determine the events. It can be printed and run again, also without some of its steps.

    hasty: the broker starts, and clients connect again, at once. sqlite: definitions are in a database, in files.
    """

    seed: int
    duration_ms: int
    bounds: dict[str, int]
    settings: dict[str, Any]
    workloads: dict[str, dict[str, Any]]
    steps: list[Step] = field(default_factory=list)
    hasty: bool = False
    sqlite: bool = False


@dataclass(frozen=True)
class Outcome:
    """Result of a run. digest: hash of the transcript. operations: its number of lines. simulated_ms: duration."""

    digest: str
    operations: int
    crashes: int
    simulated_ms: int


def scenario(seed: int) -> Scenario:
    """Return the scenario of a seed."""
    chance = Chance(f"{seed} scenario")
    shape = shapes.shape(chance)
    duration_ms = chance.choice(shape.durations_ms)
    made = Scenario(seed, duration_ms, bounds.lowered(chance), settings.varied(chance), {}, hasty=shape.hasty)
    if shape.slowed:
        made.settings = {name: value for name, value in made.settings.items() if name not in settings.FREQUENT}
    unbearable: set[str] = set()
    kinds = list(WORKLOADS)
    for i in range(chance.randint(1, 3)):
        # Each workload is the first one of some world among as many seeds as there are workloads.
        kind = chance.choice(kinds) if i else kinds[seed % len(kinds)]
        name = f"{kind}{i}"
        own = WORKLOADS[kind].settings(chance)
        made.workloads[name] = {"workload": kind, **(WORKLOADS[kind].slowed(own) if shape.slowed else own)}
        unbearable |= WORKLOADS[kind].unbearable
        made.steps += WORKLOADS[kind].plan(chance, duration_ms, name, made.workloads[name])
    made.steps += Machine.plan(chance, duration_ms)
    made.steps += shapes.crashes(chance, duration_ms, shape)
    made.sqlite = chance.random() < 0.3
    made.steps = [step for step in made.steps if step.verb not in unbearable]
    made.steps.sort(key=lambda step: step.at_ms)
    return made


def run(given: Scenario, lines: list[str] | None = None) -> Outcome:
    """Run a scenario to its end. Raises BrokenError. lines: receives the lines of the transcript."""
    with determined(given.seed) as logged, counting():
        world = World(given.seed, configured(given.bounds, given.settings), given.hasty, given.sqlite)
        logged.on_error = world.logged
        if lines is not None:
            world.keep_transcript(lines)
        try:
            with interrupted_after():
                return _run(world, given)
        except EndlessError:
            raise world.broken("does not end: a loop uses all processor time") from None
        finally:
            world.close()


def _run(world: World, given: Scenario) -> Outcome:
    workloads = [WORKLOADS[plan["workload"]](world, name, plan) for name, plan in given.workloads.items()]
    world.limit_connections(sum(workload.connections for workload in workloads))
    actors: dict[str, Any] = {"machine": Machine(world)}
    for workload in workloads:
        actors |= workload.actors
    world.on_started = partial(watch, world)
    world.stop_process = partial(stops.stop, world)
    world.disk.refuses = UNREFUSABLE.isdisjoint(plan["workload"] for plan in given.workloads.values())
    if left_over.is_compared(world):
        world.alive_before = left_over.alive()
    world.sizes_before = module_containers.sizes()
    world.boot()
    for workload in workloads:
        workload.begin()
    for step in given.steps:
        world.run(max(step.at_ms * MS - world.scheduler.now, 0))
        world.note(*step)
        getattr(actors[step.actor], f"do_{step.verb}")(*step.arguments)
    world.run(max(given.duration_ms * MS - world.scheduler.now, 0))

    actors["machine"].recover()
    world.run(10 * SECOND)
    restart.check(world)
    for workload in workloads:
        workload.rest()
    for workload in workloads:
        if not world.run_until(workload.is_done, workload.rest_ms * MS):
            workload.check()
            raise world.broken(f"{workload.name} does not come to rest")
        workload.check()
    for check in AT_REST:
        check(world)
    return Outcome(world.digest, world.operations, world.crashes, world.scheduler.now // MS)
