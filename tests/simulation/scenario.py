"""A world's life from one seed: what is in it, what happens, and what must be true at the end."""

import random
from dataclasses import dataclass, field
from typing import Any

from tests.simulation import bounds
from tests.simulation.broker_process import configured
from tests.simulation.machine import Machine
from tests.simulation.scheduler import MS, SECOND
from tests.simulation.steps import Step
from tests.simulation.workloads import WORKLOADS
from tests.simulation.world import World, determined

#: How long a world has until everything is at rest, once the faults have stopped.
REST_NS = 600 * SECOND


@dataclass
class Scenario:
    """Everything that decides what happens. It can be printed and run again, also without some of its steps."""

    seed: int
    duration_ms: int
    bounds: dict[str, int]
    settings: dict[str, Any]
    workloads: dict[str, dict[str, Any]]
    steps: list[Step] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """digest: hash of the transcript. operations: lines of it. simulated_ms: how long the world lived."""

    digest: str
    operations: int
    crashes: int
    simulated_ms: int


def scenario(seed: int) -> Scenario:
    """Return the scenario of a seed."""
    chance = random.Random(f"{seed} scenario")
    duration_ms = chance.choice((500, 5_000, 60_000))
    made = Scenario(seed, duration_ms, bounds.lowered(chance), {}, {})
    for i in range(chance.randint(1, 3)):
        kind = chance.choice(list(WORKLOADS))
        name = f"{kind}{i}"
        made.workloads[name] = {"workload": kind, **WORKLOADS[kind].settings(chance)}
        made.steps += WORKLOADS[kind].plan(chance, duration_ms, name, made.workloads[name])
    made.steps += Machine.plan(chance, duration_ms)
    made.steps.sort(key=lambda step: step.at_ms)
    return made


def run(given: Scenario, lines: list[str] | None = None) -> Outcome:
    """Run a scenario to its end. Raises BrokenError. lines: where the transcript goes, line by line."""
    with determined(given.seed):
        world = World(given.seed, configured(given.bounds, given.settings))
        if lines is not None:
            world.keep_transcript(lines)
        try:
            return _run(world, given)
        finally:
            if world.process is not None:
                world.process.kill()


def _run(world: World, given: Scenario) -> Outcome:
    workloads = [WORKLOADS[plan["workload"]](world, name, plan) for name, plan in given.workloads.items()]
    actors: dict[str, Any] = {"machine": Machine(world)}
    for workload in workloads:
        actors |= workload.actors
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
    for workload in workloads:
        workload.rest()
    for workload in workloads:
        if not world.run_until(workload.is_done, REST_NS):
            raise world.broken(f"{workload.name} does not come to rest")
        workload.check()
    return Outcome(world.digest, world.operations, world.crashes, world.scheduler.now // MS)
