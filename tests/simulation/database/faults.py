"""Faults of a world: of brokers, of their network, and of the engine. Each one ends by itself."""

from collections.abc import Callable
from typing import Final

from amqpbroker.cluster.leadership.leadership import GRACE_S
from amqpbroker.cluster.shared_database import READY_S
from tests.simulation.database.broker import Broker
from tests.simulation.database.cluster import PLANNED_STALL_NS, Slow
from tests.simulation.database.connection import CONNECT_NS
from tests.simulation.database.path import CLIENT_LOST_NS
from tests.simulation.database.world import World
from tests.simulation.scheduler import MS, SECOND

#: Time for which the engine has no primary.
DOWN_NS = (50 * MS, 4 * SECOND)
#: Time after which all brokers know that nothing answers there.
NOTICED_NS: Final = CLIENT_LOST_NS + 2 * CONNECT_NS
#: Time in which brokers connect again.
RECONNECTED_NS: Final = 1_500 * MS


def kill_leader(world: World) -> None:
    if (leader := _leader(world)) is not None:
        world.expect_takeovers(leader, GRACE_S + 4 * world.noticed_s)
        world.die(leader, with_machine=False)


def kill_leader_in_transaction(world: World) -> None:
    """Kill a leader while the engine is slow with its transaction, which goes on without it, and then the next leader.

    That one may have read before the end of the transaction.
    """
    if (leader := _leader(world)) is None:
        return
    single = world.chance.random() < 0.5
    # Transactions of several statements are rare.
    most = SECOND if single else 3 * SECOND
    life, logs = leader.lives, [vhost.log for vhost in leader.served]

    def kill() -> None:
        if leader.lives == life:
            world.die(leader, with_machine=False)

    def kill_next() -> None:
        for broker in world.leaders:
            if any(broker.epoch_of(log) for log in logs):
                world.die(broker, with_machine=False)
                return

    def begins() -> None:
        delay = world.chance.randint(0, SECOND // 2)
        world.scheduler.after(delay, kill)
        world.scheduler.after(delay + PLANNED_STALL_NS[1], kill_next)
        world.fault_until(world.scheduler.now + delay + PLANNED_STALL_NS[1])

    slow = world.cluster.slow = Slow(f"amqpbroker {leader.process_name} ", single, begins)

    def give_up() -> None:
        if world.cluster.slow is slow:
            world.cluster.slow = None
            kill()

    world.scheduler.after(most, give_up)
    world.fault_until(world.scheduler.now + most)


def kill_any(world: World) -> None:
    world.die(world.chance.choice(world.brokers), with_machine=False)


def kill_most(world: World) -> None:
    """Kill all brokers but one."""
    last = world.chance.choice(world.brokers)
    for broker in world.brokers:
        if broker is not last:
            world.die(broker, with_machine=False)


def lose_machine(world: World) -> None:
    world.die(_leader_or_any(world), with_machine=True)


def stop(world: World) -> None:
    """Stop a broker in order, which leaves its vhosts to others."""
    if (leader := _leader(world)) is not None:
        world.expect_takeovers(leader, READY_S + GRACE_S + 4 * world.noticed_s)
        leader.stop()


def drain(world: World) -> None:
    """Drain a broker, which hands over its vhosts, and revive it later, if others can lead meanwhile."""
    broker = _leader_or_any(world)
    if not any(each is not broker and each.domain is not None and not each.is_drained for each in world.brokers):
        return
    limit_s = 4 * world.noticed_s
    if world.chance.random() < 0.5:
        duration = int(limit_s * SECOND) + SECOND
        world.expect_takeovers(broker, limit_s, by_ready=True)
    else:
        duration = _duration(world, 10 * SECOND)
    broker.drain(True)
    life = broker.lives

    def revive() -> None:
        if broker.lives == life:
            broker.drain(False)

    world.scheduler.after(duration, revive)
    world.fault_until(world.scheduler.now + duration + SECOND)


def hang_leader(world: World) -> None:
    if (leader := _leader(world)) is None:
        return
    limit_s = world.lease_s + 2 * GRACE_S + 4 * world.noticed_s
    duration = _duration(world, 30 * SECOND)
    if duration > limit_s * SECOND:
        world.expect_takeovers(leader, limit_s)
    if duration < (world.lease_s - GRACE_S) * SECOND:
        world.expect_none(leader, duration)
    leader.hang(duration)
    world.disturb(leader, duration)


def hang_without_locks(world: World) -> None:
    """Hang a broker whose lease session ends, so that others take over without ending its other sessions."""
    if (leader := _leader(world)) is None or leader.process is None:
        return
    for connection in leader.process.connections:
        if connection.name.endswith(" lease"):
            connection.cut()
    duration = int((GRACE_S + 3 * world.noticed_s + world.chance.random() * world.lease_s) * SECOND)
    leader.hang(duration)
    world.disturb(leader, duration)


def stop_as_another_goes_on(world: World) -> None:
    """Hang a broker until others have taken over, of which one stops as the first goes on."""
    if (leader := _leader(world)) is None:
        return
    duration = int((world.lease_s + 2 * GRACE_S + 4 * world.noticed_s) * SECOND)
    leader.hang(duration)
    world.disturb(leader, duration)

    def stop_another() -> None:
        others = [broker for broker in world.leaders if broker is not leader]
        if others:
            world.chance.choice(others).stop()

    delay = duration + world.chance.randint(-SECOND // 2, SECOND // 4)
    world.scheduler.after(delay, stop_another)
    world.fault_until(world.scheduler.now + delay)


def hang_any(world: World) -> None:
    _hang(world, world.chance.choice(world.brokers))


def hang_at_takeover(world: World) -> None:
    """Stop a broker at a random step of its takeovers."""
    if (leader := _leader(world)) is None:
        return
    world.die(leader, with_machine=False)
    other = world.chance.choice(world.brokers)
    delay = int(2_400 * MS * world.chance.random())
    world.fault_until(world.scheduler.now + delay)
    world.scheduler.after(delay, lambda: _hang(world, other))


def partition(world: World) -> None:
    broker, duration = _leader_or_any(world), _duration(world, 20 * SECOND)
    directions = world.chance.choice(((True, True), (True, False), (False, True)))
    broker.path.partition(duration, *directions)
    world.disturb(broker, duration)
    world.lose_partitioned(broker, duration)


def break_connections(world: World) -> None:
    """Cut all connections of the leader, as a firewall does that restarts."""
    world.break_connections(_leader_or_any(world), all_of_them=world.chance.random() < 0.5)
    _reconnect(world)


def break_all(world: World) -> None:
    world.cluster.break_all()
    _reconnect(world)


def fail_commits(world: World) -> None:
    """Break connections at commits of the leader, before or after these have taken effect, or refuse them."""
    leader = _leader_or_any(world)
    use = world.chance.choice(("writing", "writing", "lease", "removal"))
    world.cluster.commit_faults[f"amqpbroker {leader.process_name} ", use] = world.chance.choice(
        ("refused", "lost", "full")
    )
    if use == "lease":
        # Also a takeover may fail.
        world.cluster.commit_faults["amqpbroker ", ""] = "lost"
    world.scheduler.after(SECOND, world.cluster.commit_faults.clear)
    _reconnect(world)


def stall_standbys(world: World) -> None:
    """Stop all standbys, so that commits wait."""
    duration = _duration(world, 8 * SECOND)
    world.cluster.stall(duration)
    world.fault_until(world.scheduler.now + duration)


def restart_engine(world: World) -> None:
    _outage(world, world.cluster.restart)


def fail_over(world: World) -> None:
    """Promote a synchronous standby, which has everything that was confirmed."""
    cluster = world.cluster
    if not cluster.is_synchronous or not cluster.standbys:
        restart_engine(world)
    else:
        _outage(world, lambda: cluster.promote(synchronous=True))


def fail_over_with_leader(world: World) -> None:
    """End the leader and the primary at the same time, as the machine of both does."""
    if (leader := _leader(world)) is not None:
        world.die(leader, with_machine=False)
    fail_over(world)


def fail_over_at_takeover(world: World) -> None:
    """End the leader while standbys receive nothing, and the primary when another broker has perhaps taken over."""
    if (leader := _leader(world)) is None:
        return
    world.cluster.stall(4 * SECOND)
    if world.chance.random() < 0.5:
        leader.stop()
    else:
        world.die(leader, with_machine=False)
    delay = world.chance.randint(0, 2 * SECOND)
    world.fault_until(world.scheduler.now + delay)
    world.scheduler.after(delay, lambda: fail_over(world))


FAULTS: Final[tuple[tuple[Callable[[World], None], int], ...]] = (
    (kill_leader, 30),
    (kill_leader_in_transaction, 12),
    (kill_any, 4),
    (kill_most, 3),
    (lose_machine, 3),
    (stop, 20),
    (drain, 20),
    (hang_leader, 8),
    (hang_without_locks, 12),
    (stop_as_another_goes_on, 6),
    (hang_any, 4),
    (hang_at_takeover, 4),
    (partition, 5),
    (break_connections, 6),
    (break_all, 4),
    (fail_commits, 12),
    (stall_standbys, 5),
    (restart_engine, 4),
    (fail_over, 6),
    (fail_over_with_leader, 3),
    (fail_over_at_takeover, 3),
)
_ROWS: Final = tuple(fault for fault, weight in FAULTS for _ in range(weight))


def any_fault(world: World) -> Callable[[World], None]:
    return world.chance.choice(_ROWS)


def _leader(world: World) -> Broker | None:
    leaders = world.leaders
    return world.chance.choice(leaders) if leaders else None


def _leader_or_any(world: World) -> Broker:
    leader = _leader(world)
    return leader if leader is not None and world.chance.random() < 0.8 else world.chance.choice(world.brokers)


def _duration(world: World, most: int) -> int:
    """Return a random time, mostly a short one."""
    return 50 * MS + int(most * world.chance.random() ** 3)


def _hang(world: World, broker: Broker) -> None:
    duration = _duration(world, 30 * SECOND)
    broker.hang(duration)
    world.disturb(broker, duration)


def _reconnect(world: World) -> None:
    """Wait for brokers to connect again, before it is calm."""
    world.fault_until(world.scheduler.now + RECONNECTED_NS)


def _outage(world: World, end: Callable[[], None]) -> None:
    """Crash the primary; `end` begins another one. Later outages begin after that."""
    cluster = world.cluster
    if cluster.primary is None:
        return
    chance = world.chance
    silent = chance.random() < 0.25
    duration = chance.randint(*DOWN_NS)
    world.outage_ns = world.scheduler.now + duration
    cluster.crash(silent)
    world.fault_until(world.scheduler.now + duration + RECONNECTED_NS)
    if silent:
        # Brokers notice it at different times.
        for broker in world.brokers:
            world.disturb(broker, duration + NOTICED_NS)
    world.scheduler.after(duration, end)
