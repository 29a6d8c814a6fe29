"""Placement of vhosts on brokers, by views without a database."""

import random
import time
from collections import Counter

import pytest

from amqpbroker.cluster.placement.order import Broker, Order
from amqpbroker.cluster.placement.placement import Vhost, followers, moves, standby, takers
from tests.seeds import seeds

LETTERS = "abcdefghij"


def ordered(brokers):
    """Return an order. brokers: Broker objects, or letters; a pattern is the beginning of the vhosts."""
    made = [each if isinstance(each, Broker) else Broker(each) for each in brokers]
    return Order(made, lambda pattern, vhost: vhost.startswith(pattern))


def new(count, prefix="v"):
    return [Vhost(f"{prefix}{number}") for number in range(count)]


def led(counts, **fields):
    """Return vhosts. counts: the number of vhosts by leader."""
    return [
        Vhost(f"{leader}-{number}", leader, **fields) for leader, count in counts.items() for number in range(count)
    ]


def applied(vhosts, moved):
    return [vhost._replace(leader=moved[vhost.name]) if vhost.name in moved else vhost for vhost in vhosts]


def after_moves(vhosts, moved):
    return Counter(vhost.leader for vhost in applied(vhosts, moved))


def died(vhosts, *leaders):
    return [v._replace(leader="", last_leader=v.leader) if v.leader in leaders else v for v in vhosts]


# --- free vhosts ------------------------------------------------------------------------------------------------------


def test_new_vhosts_are_shared_evenly():
    found = takers(new(25), ordered(LETTERS))
    assert sorted(Counter(found.values()).values()) == [2] * 5 + [3] * 5


def test_new_vhost_is_taken_by_the_broker_with_the_fewest():
    vhosts = [*led({"a": 2, "b": 1, "c": 2}), Vhost("new")]
    assert takers(vhosts, ordered("abc")) == {"new": "b"}


def test_brokers_with_as_few_vhosts_take_new_ones_in_rendezvous_order():
    order = ordered(LETTERS)
    assert all(takers([vhost], order) == {vhost.name: order.first(vhost.name)} for vhost in new(50))


def test_new_vhost_is_taken_by_a_broker_that_prefers_it_even_if_that_has_more():
    order = ordered(["a", "b", Broker("c", pattern="v"), Broker("d", pattern="v")])
    vhosts = [*led({"c": 10, "d": 9}), *new(3)]
    assert Counter(takers(vhosts, order).values()) == {"c": 1, "d": 2}


def test_vhost_of_a_lost_broker_is_taken_by_its_standby():
    vhosts = led(dict.fromkeys(LETTERS, 20))
    before = standbys(vhosts, ordered(LETTERS))
    lost = {vhost.name for vhost in vhosts if vhost.leader == "a"}
    found = takers(died(vhosts, "a"), ordered(LETTERS[1:]))
    assert found == {name: before[name] for name in lost}
    assert len(set(found.values())) > 5


def test_last_leader_takes_a_vhost_only_if_it_is_the_only_broker():
    free = [Vhost("v", last_leader="a")]
    assert takers(free, ordered("ab")) == {"v": "b"}
    assert takers(free, ordered("a")) == {"v": "a"}


def test_vhost_that_was_handed_over_is_taken_by_the_named_broker_while_it_is_able():
    free = [Vhost("v", last_leader="a", successor="c")]
    order = ordered("abcd")
    assert takers(free, order) == {"v": "c"}
    assert takers(free, ordered("abd")) == {"v": ordered("abd").first("v", "a")}


def test_vhosts_that_are_about_to_be_taken_count_for_new_ones():
    handed_over = [Vhost(f"h{number}", last_leader="a", successor="b") for number in range(5)]
    assert set(takers([*handed_over, *led({"c": 1}), *new(3)], ordered("bc")).values()) == {"b", "c"}
    assert Counter(takers([*handed_over, *new(3)], ordered("bc")).values()) == {"b": 5, "c": 3}


def test_without_able_brokers_nothing_is_decided():
    order = ordered([Broker("a", able=False)])
    vhosts = [*new(1), *led({"a": 1}), Vhost("f", last_leader="a")]
    assert takers(vhosts, order) == standbys(vhosts, order) == moves(vhosts, order) == {}


def standbys(vhosts, order):
    """Return the standby of each vhost that has one and that a broker has led."""
    return {
        vhost.name: found
        for vhost in vhosts
        if (vhost.leader or vhost.last_leader) and (found := standby(vhost, order))
    }


# --- standbys ---------------------------------------------------------------------------------------------------------


def test_each_vhost_with_a_leader_has_a_standby_that_is_not_its_leader():
    vhosts = led(dict.fromkeys(LETTERS, 20))
    found = standbys(vhosts, ordered(LETTERS))
    assert len(found) == len(vhosts)
    assert all(found[vhost.name] != vhost.leader for vhost in vhosts)


def test_the_broker_that_is_ready_is_the_standby_while_it_is_able():
    order, without_leader = ordered("abc"), ordered([Broker("a", able=False), "b", "c"])
    for vhost in led({"a": 20}):
        first = order.first(vhost.name, "a")
        other = "b" if first == "c" else "c"
        for ready, expected in ((other, other), (first, first), ("a", first), ("d", first), ("", first)):
            each = vhost._replace(ready=ready)
            assert standby(each, order) == expected
            assert takers(died([each], "a"), order) == moves([each], without_leader) == {vhost.name: expected}


def test_vhosts_whose_brokers_still_read_do_not_keep_others_waiting():
    order = ordered([Broker("a", able=False), "b"])
    vhosts = led({"a": 20})
    vhosts[10:] = [vhost._replace(ready="b") for vhost in vhosts[10:]]
    found = moves(vhosts, order, at_once=8)
    assert len(found) == 8
    assert found.keys() <= {vhost.name for vhost in vhosts[10:]}
    assert len(moves(vhosts[:12], order, at_once=8)) == 8


def test_a_vhost_is_followed_by_the_broker_that_is_ready_until_the_first_in_the_order_is():
    vhosts, order = led({"a": 20}), ordered("abc")
    for vhost in vhosts:
        first = order.first(vhost.name, "a")
        other = "b" if first == "c" else "c"
        for ready, expected in (("", (first,)), (first, (first,)), (other, (first, other)), ("d", (first,))):
            assert followers([vhost._replace(ready=ready)], order) == {vhost.name: expected}


def test_standby_follows_until_it_has_taken_the_vhost():
    vhosts = led({"a": 20})
    order = ordered("bcd")
    assert standbys(vhosts, order) == standbys(died(vhosts, "a"), order) == takers(died(vhosts, "a"), order)
    followed = followers(vhosts, order)
    assert followed == followers(died(vhosts, "a"), order)
    assert {name: (each,) for name, each in standbys(vhosts, order).items()} == followed


def test_new_vhosts_and_vhosts_of_the_only_broker_have_no_standby():
    vhosts = [*new(2), *led({"a": 2})]
    assert standbys(vhosts, ordered("a")) == followers(vhosts, ordered("a")) == {}
    assert followers(new(2), ordered("ab")) == {}


# --- moves ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "expected", "moved"),
    [
        ({"a": 4, "b": 4, "c": 4}, [4, 4, 4], 0),
        ({"a": 5, "b": 4, "c": 4}, [4, 4, 5], 0),
        ({"a": 12, "b": 0, "c": 0}, [4, 4, 4], 8),
        ({"a": 6, "b": 6, "c": 0}, [4, 4, 4], 4),
        ({"a": 6, "b": 5, "c": 2}, [4, 4, 5], 2),
        # None has more than its share rounded up.
        ({"a": 4, "b": 4, "c": 0, "d": 4}, [3, 3, 3, 3], 3),
        ({"a": 2, "b": 2, "c": 2, "d": 0, "e": 0}, [1, 1, 1, 1, 2], 2),
        ({"a": 1, "b": 0}, [0, 1], 0),
    ],
)
def test_vhosts_without_clients_move_until_brokers_have_their_share_and_not_more(counts, expected, moved):
    vhosts = led(counts)
    found = moves(vhosts, ordered(counts))
    assert len(found) == moved
    left = after_moves(vhosts, found)
    assert sorted(left[broker] for broker in counts) == expected


def test_vhosts_with_clients_move_only_for_an_operator():
    vhosts = led({"a": 6, "b": 0}, has_clients=True)
    order = ordered("ab")
    assert moves(vhosts, order) == {}
    assert len(moves(vhosts, order, with_clients=True)) == 3
    idle = led({"c": 1}, has_clients=False)
    assert list(moves([v._replace(leader="a") for v in idle] + vhosts, order)) == ["c-0"]


def test_vhost_moves_to_a_broker_that_prefers_it_before_others_move():
    order = ordered(["a", Broker("b", pattern="a-"), Broker("c", pattern="a-")])
    vhosts = led({"a": 4, "b": 4})
    assert moves([vhost._replace(has_clients=True) for vhost in vhosts], order) == {}
    found = moves(vhosts, order)
    assert found.keys() == {f"a-{number}" for number in range(4)}
    assert Counter(found.values()) == {"b": 2, "c": 2}
    vhosts = applied(vhosts, found)
    found = moves(vhosts, order)
    assert after_moves(vhosts, found) == {"a": 2, "b": 3, "c": 3}
    assert moves(applied(vhosts, found), order) == {}


def test_brokers_with_vhosts_that_they_prefer_get_fewer_others():
    order = ordered([Broker("a", pattern="a-"), "b", "c"])
    assert moves(led({"a": 5, "b": 3, "c": 3}), order) == {}
    vhosts = led({"a": 5}) + [vhost._replace(leader="a") for vhost in led({"x": 6})]
    assert Counter(moves(vhosts, order).values()) == {"b": 3, "c": 3}


@pytest.mark.parametrize("count", [9, 10, 11])
def test_vhost_does_not_leave_a_broker_that_prefers_it_for_one_that_does_not(count):
    vhosts = led({"a": count})
    assert moves(vhosts, ordered([Broker("a", pattern="a-"), "b"])) == {}
    both = ordered([Broker("a", pattern="a-"), "b", Broker("c", pattern="a-")])
    assert Counter(moves(vhosts, both).values()) == {"c": count // 2}


def test_broker_that_is_not_able_any_more_hands_over_all_its_vhosts_to_their_standbys():
    vhosts = led({"a": 30}, has_clients=True) + led({"b": 1, "c": 1})
    order = ordered([Broker("a", able=False), "b", "c"])
    behind = standbys(vhosts, order)
    assert moves(vhosts, order) == {name: standby for name, standby in behind.items() if name.startswith("a")}
    assert Counter(moves(vhosts, order, at_once=3).values()) == {"b": 3, "c": 3}


def test_a_broker_that_joins_gets_vhosts_that_it_follows_first():
    vhosts = led(dict.fromkeys(LETTERS, 100))
    order = ordered([*LETTERS, "new"])
    found = moves(vhosts, order)
    followed = {name for name, brokers in followers(vhosts, order).items() if brokers == ("new",)}
    assert set(found.values()) == {"new"}
    assert len(found) == 90
    assert len(followed & set(found)) > 70


def test_free_vhosts_count_for_the_brokers_that_will_take_them():
    handed_over = [Vhost(f"h{number}", last_leader="a", successor="b") for number in range(4)]
    assert moves([*led({"a": 4}), *handed_over], ordered("ab")) == {}


def test_only_some_vhosts_move_to_a_broker_at_once():
    vhosts = led({"a": 60, "b": 0, "c": 0})
    order = ordered("abc")
    assert Counter(moves(vhosts, order, at_once=5).values()) == {"b": 5, "c": 5}
    first = moves(vhosts, order, at_once=5)
    handed_over = [
        Vhost(vhost.name, last_leader="a", successor=first[vhost.name]) if vhost.name in first else vhost
        for vhost in vhosts
    ]
    assert moves(handed_over, order, at_once=5) == {}
    assert Counter(moves(handed_over, order, at_once=7).values()) == {"b": 2, "c": 2}
    while found := moves(vhosts, order, at_once=3):
        vhosts = applied(vhosts, found)
    assert after_moves(vhosts, {}) == {"a": 20, "b": 20, "c": 20}


# --- any views --------------------------------------------------------------------------------------------------------


def random_view(rng):
    brokers = [
        Broker(name, able=rng.random() < 0.8, pattern=rng.choice(["", "v", "v1", "v2", "w", None, None, None]))
        for name in LETTERS[: rng.randint(1, len(LETTERS))]
    ]
    if rng.random() < 0.5:
        brokers = [broker._replace(pattern=None) for broker in brokers]
    vhosts = [
        Vhost(
            f"{rng.choice('vw')}{number}",
            leader := rng.choice(["", *(LETTERS[: rng.randint(1, 10)])]),
            rng.random() < 0.3,
            "" if leader else rng.choice(["", *LETTERS]),
            "" if leader else rng.choice(["", "", *LETTERS]),
            ready=rng.choice(["", "", *LETTERS]),
        )
        for number in range(rng.randint(0, 60))
    ]
    return vhosts, ordered(brokers)


def settled(vhosts, order):
    """Return the vhosts after all free ones are taken."""
    found = takers(vhosts, order)
    return [Vhost(v.name, found.get(v.name, v.leader), v.has_clients, ready=v.ready) for v in vhosts]


@pytest.mark.parametrize("seed", seeds(300, 30))
def test_any_view_leads_to_a_state_without_moves(seed):
    rng = random.Random(seed)
    vhosts, order = random_view(rng)
    shuffled = rng.sample(vhosts, len(vhosts))
    assert (takers(vhosts, order), moves(vhosts, order)) == (takers(shuffled, order), moves(shuffled, order))
    if not order.brokers:
        assert moves(vhosts, order) == {}
        return
    free = {vhost.name for vhost in vhosts if not vhost.leader}
    assert takers(vhosts, order).keys() == free
    assert not free & moves(vhosts, order).keys()
    vhosts = settled(vhosts, order)
    for with_clients in (False, True):
        moved = Counter()
        while found := moves(vhosts, order, with_clients):
            for vhost in vhosts:
                if target := found.get(vhost.name):
                    assert target != vhost.leader
                    assert target in order.candidates(vhost.name) or target == vhost.ready
                    assert with_clients or not vhost.has_clients or vhost.leader not in order.brokers
            moved.update(vhost.name for vhost in vhosts if vhost.name in found and vhost.leader in order.brokers)
            vhosts = applied(vhosts, found)
        assert set(moved.values()) <= {1}
    assert all(vhost.leader in order.candidates(vhost.name) for vhost in vhosts)


@pytest.mark.parametrize("seed", seeds(100, 10))
def test_as_few_vhosts_move_as_have_to(seed):
    rng = random.Random(seed)
    counts = {name: rng.randint(0, 20) for name in LETTERS[: rng.randint(1, 10)]}
    vhosts, order = led(counts), ordered(counts)
    low, high = sum(counts.values()) // len(counts), -(-sum(counts.values()) // len(counts))
    found = moves(vhosts, order)
    surplus = sum(max(0, count - high) for count in counts.values())
    missing = sum(max(0, low - count) for count in counts.values())
    assert len(found) == max(surplus, missing)
    left = after_moves(vhosts, found)
    assert all(low <= left[broker] <= high for broker in counts)


@pytest.mark.parametrize("seed", seeds(100, 10))
def test_brokers_that_act_at_different_times_move_each_vhost_once(seed):
    """All views are up to date, and each broker hands its vhosts over when it likes."""
    rng = random.Random(seed)
    vhosts, order = random_view(rng)
    state = {vhost.name: vhost for vhost in settled(vhosts, order)}
    moved = Counter()
    while found := moves(state.values(), order):
        leader = rng.choice(sorted({state[name].leader for name in found}))
        for name, target in found.items():
            if state[name].leader == leader:
                state[name] = state[name]._replace(leader=target)
                # Standbys may hand over what they take from a broker that is not able.
                moved[name] += leader in order.brokers
    assert set(moved.values()) <= {0, 1}


@pytest.mark.parametrize("seed", seeds(60, 6))
def test_no_vhost_moves_twice_when_brokers_act_on_old_and_different_views(seed):
    """Brokers join or leave. Then each broker acts on one of the last ten states, never on an older one than before."""
    rng = random.Random(seed)
    patterns = ["v1", "v2", "v", None, None, None] if seed % 2 else [None]
    brokers = [Broker(name, pattern=rng.choice(patterns)) for name in LETTERS]
    before = ordered(brokers)
    vhosts = settled(new(rng.randint(5, 100)), before)
    vhosts = applied(vhosts, moves(vhosts, before))
    gone = brokers[: rng.choice([0, 1])]
    brokers = [*brokers[len(gone) :], *map(Broker, "kl"[: rng.randint(len(gone) == 0, 2)])]
    order = ordered(brokers)
    at_once = rng.choice([None, 1, 5])
    states = [died(vhosts, *(broker.identity for broker in gone))]
    state = {vhost.name: vhost for vhost in states[0]}
    seen = dict.fromkeys(order.brokers, 0)
    moved = Counter()
    while takers(states[-1], order) or moves(states[-1], order):
        assert len(states) < 1_000
        broker = rng.choice(order.brokers)
        seen[broker] = rng.randint(max(seen[broker], len(states) - 10), len(states) - 1)
        view = states[seen[broker]]
        for name, taker in takers(view, order).items():
            if taker == broker and not state[name].leader:
                state[name] = Vhost(name, broker)
        for name, target in moves(view, order, at_once=at_once).items():
            if state[name].leader == broker:
                state[name] = Vhost(name, last_leader=broker, successor=target)
                moved[name] += 1
        states.append(list(state.values()))
    assert set(moved.values()) <= {1}


@pytest.mark.parametrize("count", [3, 10, 57, 200])
def test_moves_after_a_broker_joins_or_leaves_are_bounded(count):
    names = list(LETTERS)
    vhosts = settled(new(count), ordered(names))
    joined = moves(vhosts, ordered([*names, "k"]))
    assert len(joined) <= count // 11 + 1
    lost = Counter(vhost.leader for vhost in vhosts)["a"]
    left = settled(died(vhosts, "a"), ordered(names[1:]))
    assert len(moves(left, ordered(names[1:]))) <= lost


@pytest.mark.alone
def test_decisions_about_10_000_vhosts_and_100_brokers_are_fast():
    """The bounds are for a busy machine."""
    brokers = [Broker(f"broker{number}", pattern=f"v{number}" if number < 10 else None) for number in range(100)]
    start_s = time.thread_time()
    order = ordered(brokers)
    vhosts = settled(new(10_000), order)
    followers(vhosts, order)
    moves(vhosts, order)
    cold_s = time.thread_time() - start_s
    start_s = time.thread_time()
    followers(vhosts, order)
    moves(vhosts, order)
    warm_s = time.thread_time() - start_s
    assert cold_s < 3
    assert warm_s < 1


# --- an operator's requests -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leader", ["a", "gone"])
def test_a_vhost_that_an_operator_wants_elsewhere_moves_with_its_clients(leader):
    vhosts = [Vhost("v", leader, has_clients=True, wanted="b"), *led({"a": 1, "b": 1, "c": 1}, has_clients=True)]
    assert moves(vhosts, ordered("abc")) == {"v": "b"}


@pytest.mark.parametrize("wanted", ["a", "gone"])
def test_a_request_that_cannot_be_carried_out_moves_nothing(wanted):
    vhosts = [Vhost("v", "a", has_clients=True, wanted=wanted), *led({"b": 1, "c": 1}, has_clients=True)]
    assert moves(vhosts, ordered("abc")) == {}


def test_requests_count_for_the_shares_of_brokers():
    vhosts = [
        *led({"a": 4}),
        Vhost("v", "a", has_clients=True, wanted="b"),
        Vhost("w", "a", has_clients=True, wanted="b"),
    ]
    found = moves(vhosts, ordered("ab"))
    assert {"v", "w"} <= found.keys()
    assert after_moves(vhosts, found) == {"a": 3, "b": 3}


def test_a_vhost_that_stays_moves_only_from_a_broker_that_is_not_able():
    vhosts = [vhost._replace(stays=True) for vhost in led({"a": 4})]
    assert moves(vhosts, ordered("ab"), with_clients=True) == {}
    assert set(moves(vhosts, ordered("bc"), with_clients=True)) == {vhost.name for vhost in vhosts}
