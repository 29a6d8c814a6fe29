"""A broker at rest, after its clients have disconnected: nothing of them is left."""

from typing import TYPE_CHECKING

from tests.simulation.scheduler import SECOND

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess
    from tests.simulation.world import World

#: Time that the broker may need after all have disconnected: a connection waits 30 seconds for its client to close.
WITHIN_NS = 60 * SECOND


def check(world: "World") -> None:
    """Disconnect all clients; then all counters must be 0. Raises BrokenError."""
    for client in world.clients:
        client.leave()
    if not world.run_until(lambda: not busy(world), WITHIN_NS):
        raise world.broken(f"without clients the broker does not come to rest: {', '.join(busy(world))}")


def busy(world: "World") -> list[str]:
    """Return the current activities."""
    process = world.process
    if process is None:
        return ["the broker does not run"]
    broker, store, files = process.broker, process.store, world.disk
    figures = {
        "clients": len(process.service.clients.there()),
        "sessions": len(broker.sessions),
        "connections that wait for the disk": len(broker.storage.awaiting_sync),
        "ends of turns": int(process.service.tick.pending),
        "iterations of the loop": int(not process.loop.is_between_iterations),
        "calls of the loop": len(process.loop._ready) + len(process.loop._readable),
        "bytes for the disk": store.waiting_bytes,
        "operations that are not safe": max(store.appended - store.synced, 0) + int(store._is_due),
        "batches": int(store.writer.is_busy),
        "changes of definitions that are not synced": int(files.has_unsynced_definitions),
        "timers for definitions": int(store.writer._definitions is not None),
        # Segments that could not be removed stay until the next one is free.
        "segments to be removed": 0 if files.removal_failed else len(store.log._freed),
        "callbacks for safe copies": len(store._unsafe),
        "entries to be freed": sum(len(vhost.deferred_free._lines) for vhost in broker.vhosts.values()),
        "departures to be recorded": sum(len(vhost.deferred_free._departures) for vhost in broker.vhosts.values()),
        "dead letters on their way": sum(vhost.dead_letters.waiting for vhost in broker.vhosts.values()),
        **{f"unacknowledged of {name}": count for name, count in _unacked(process).items()},
    }
    figures |= process.shovels.activities
    for server in process.http_servers():
        figures |= server.activities
    return [f"{count} {name}" for name, count in figures.items() if count]


def _unacked(process: "BrokerProcess") -> dict[str, int]:
    return {
        queue.name: queue.unacked_count for vhost in process.broker.vhosts.values() for queue in vhost.queues.values()
    }
