"""Brokers and vhosts as all brokers see them in the tables of a database, for the placement."""

from collections.abc import Callable, Iterable, Mapping

from amqpbroker.cluster.leadership.leadership import Leader
from amqpbroker.cluster.leadership.leaderships import Held
from amqpbroker.cluster.leadership.members import Facts, Row
from amqpbroker.cluster.placement.order import Broker
from amqpbroker.cluster.placement.placement import Vhost
from amqpbroker.store.database.fence import LOG

#: Returns whether a broker's pattern, the first argument, matches the name of a vhost.
Prefers = Callable[[str, str], bool]


def identity(node: str, address: str) -> str:
    """Return the identity of a broker, which it has again after a restart."""
    return f"{node} {address}"


def identity_of(broker: Facts) -> str:
    return identity(broker.node, broker.address)


def brokers_of(rows: Iterable[Row]) -> list[Broker]:
    """Return the brokers of a table, as the placement knows them."""
    return [Broker(identity_of(row.facts), row.running and not row.drained, row.facts.pattern or None) for row in rows]


def processes_of(rows: Iterable[Row]) -> dict[str, str]:
    """Return the processes of the running brokers by their identities."""
    return {identity_of(row.facts): row.facts.process for row in rows if row.running}


def vhosts_of(logs: Iterable[str], held: Iterable[Held], rows: Iterable[Row]) -> list[Vhost]:
    """Return the vhosts by the names of their logs.

    A leader whose process has ended leads no more, although its lease may go on.
    """
    running = {row.facts.process: identity_of(row.facts) for row in rows if row.running}
    found = {each.log: each for each in held}
    vhosts = []
    for log in logs:
        each = found.get(log)
        stays = log == LOG
        if each is None:
            vhosts.append(Vhost(log, stays=stays))
            continue
        leader, ready = _identity_of(each.leader), running.get(each.ready, "")
        if each.valid and each.leader.process in running:
            wanted = running.get(each.wanted, "") if each.accepted else ""
            vhosts.append(Vhost(log, leader, each.busy, wanted=wanted, ready=ready, stays=stays))
        else:
            successor = running.get(each.successor, "")
            vhosts.append(Vhost(log, "", False, leader, successor, ready=ready, stays=stays))
    return vhosts


def _identity_of(leader: Leader) -> str:
    return identity(leader.name, leader.address)


def matcher(names: Mapping[str, str], prefers: Prefers) -> Callable[[str, str], bool]:
    """Return a function for an `Order`, which returns whether a pattern matches the vhost of a log.

    names: of the vhosts by their logs; they may change. The log that all brokers share has no name, and no match.
    """
    return lambda pattern, log: names[log] != "" and prefers(pattern, names[log])


def prefers_none(pattern: str, vhost: str) -> bool:
    """Match no vhost."""
    return False
