"""Placement: which broker leads each vhost, which one follows it, and which vhosts move.

All functions depend only on their arguments, so that every broker with the same view of the database decides the same.
A broker only carries out its own part. Brokers with different views cannot both lead a vhost: see leadership.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from amqpbroker.cluster.placement.groups import Group, Led
from amqpbroker.cluster.placement.order import Order


class Vhost(NamedTuple):
    """A vhost in a view of the database.

    leader: identity of the broker that leads it, "" if it is free. last_leader: of the broker that led it last, "" if
    none ever did. successor: of the broker to which the last leader has handed it over, "" if it has not. wanted: of
    the broker to which an operator wants the leader to hand it over, and which has accepted that, "" for none. ready:
    of the broker that has read its journal, and reads on, "" for none. stays: it moves only from a broker that is not
    able any more.
    """

    name: str
    leader: str = ""
    has_clients: bool = False
    last_leader: str = ""
    successor: str = ""
    wanted: str = ""
    ready: str = ""
    stays: bool = False


def takers(vhosts: Iterable[Vhost], order: Order) -> dict[str, str]:
    """Return the broker that should take each free vhost. Empty if no broker is able.

    This is the successor that the last leader has named; otherwise the standby; for a new vhost, the broker with the
    fewest vhosts of its candidates.
    """
    vhosts = list(vhosts)
    free = sorted(vhost for vhost in vhosts if not vhost.leader)
    found: dict[str, str] = {}
    if not order.brokers or not free:
        return found
    able = set(order.brokers)
    new: list[str] = []
    for vhost in free:
        if vhost.successor in able:
            found[vhost.name] = vhost.successor
        elif vhost.last_leader:
            # The last leader only if it is the only broker: it may fail again.
            found[vhost.name] = standby(vhost, order) or vhost.last_leader
        else:
            new.append(vhost.name)
    if new:
        counts = dict.fromkeys(order.brokers, 0)
        for vhost in vhosts:
            leader = vhost.leader or found.get(vhost.name)
            if leader in counts:
                counts[leader] += 1
        for name in new:
            found[name] = chosen = order.fewest(name, counts)
            counts[chosen] += 1
    return found


def standby(vhost: Vhost, order: Order) -> str:
    """Return the broker that takes a vhost if its leader, or last leader, is gone; "" if there is none.

    This is the broker that is ready. The first broker in the order may have just started, and clients would wait until
    it has read the whole journal.
    """
    holder = vhost.leader or vhost.last_leader
    if vhost.ready != holder and order.is_able(vhost.ready):
        return vhost.ready
    return order.first(vhost.name, holder)


def followers(vhosts: Iterable[Vhost], order: Order) -> dict[str, Sequence[str]]:
    """Return the brokers that should follow each vhost: the one that is to be its standby, and its standby until then.

    The former is the first in the order, so that brokers follow as many vhosts as each other. Vhosts without such
    brokers are left out, and new vhosts, of which there is nothing to follow.
    """
    found: dict[str, Sequence[str]] = {}
    for vhost in vhosts:
        holder = vhost.leader or vhost.last_leader
        if holder and (first := order.first(vhost.name, holder)):
            now = standby(vhost, order)
            found[vhost.name] = (first,) if now == first else (first, now)
    return found


def moves(
    vhosts: Iterable[Vhost], order: Order, with_clients: bool = False, at_once: int | None = None
) -> dict[str, str]:
    """Return the vhosts that their leaders should hand over now, each with the broker that should take it.

    A broker that is not able any more hands over all its vhosts, to their standbys. Another one hands over vhosts that
    an operator wants an able broker to have, vhosts that it does not prefer while another broker does, and as many
    others as it has more than its share, if other brokers have less. Vhosts that fewer brokers prefer move first,
    because the shares of the others depend on them.

    with_clients: also move vhosts with clients, for an operator. at_once: greatest number of free vhosts that a broker
    should have to take, because it takes one after another; None for no limit.
    """
    if not order.brokers:
        return {}
    vhosts = list(vhosts)
    taken = takers(vhosts, order)
    groups: dict[int, Group] = {}
    found: dict[str, str] = {}
    counts = dict.fromkeys(order.brokers, 0)
    for vhost in vhosts:
        candidates = order.candidates(vhost.name)
        group = groups.get(id(candidates))
        if group is None:
            group = groups[id(candidates)] = Group(candidates, order)
        if vhost.leader and vhost.wanted in counts and vhost.wanted != vhost.leader:
            found[vhost.name] = vhost.wanted
            group.add_coming(vhost.wanted)
        elif vhost.leader in counts:
            may_move = not vhost.stays and (with_clients or not vhost.has_clients)
            group.add(Led(vhost.name, vhost.leader, may_move))
        elif vhost.leader:
            found[vhost.name] = chosen = standby(vhost, order)
            group.add_coming(chosen)
        else:
            group.add_coming(taken[vhost.name])
    unsettled: set[str] = set()
    for group in sorted(groups.values(), key=lambda each: (len(each.candidates), each.candidates)):
        further = group.moves(counts)
        if unsettled.isdisjoint(group.candidates):
            found |= further
        if further:
            unsettled.update(group.candidates)
    if at_once is None:
        return found
    # Vhosts whose brokers still read their journals stay for some time, and must not keep others waiting.
    unready = {vhost.name for vhost in vhosts if found.get(vhost.name) not in (vhost.ready, vhost.wanted)}
    ordered = {name: found[name] for name in sorted(found, key=unready.__contains__)}
    return _limited(ordered, Counter(taken.values()), at_once)


def _limited(found: dict[str, str], taking: Counter[str], at_once: int) -> dict[str, str]:
    """Return the first moves to each broker. taking: number of vhosts that a broker should take without them."""
    first = {}
    for name, target in found.items():
        if taking[target] < at_once:
            taking[target] += 1
            first[name] = target
    return first
