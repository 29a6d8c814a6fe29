"""Rendezvous order of brokers for vhosts."""

from collections import Counter

import pytest

from amqpbroker.cluster.placement.order import Broker, Order

BROKERS = [Broker(f"amqpbroker@10.0.0.{number}:5672") for number in range(20)]
VHOSTS = [f"tenant-{number}" for number in range(4_000)]


def ordered(brokers):
    """Return an order in which a pattern is the beginning of the vhosts."""
    return Order(brokers, lambda pattern, vhost: vhost.startswith(pattern))


def test_order_does_not_depend_on_the_sequence_of_the_brokers():
    one, other = ordered(BROKERS), ordered(BROKERS[::-1])
    assert [one.first(vhost) for vhost in VHOSTS] == [other.first(vhost) for vhost in VHOSTS]


def test_order_is_the_same_in_all_processes_and_versions():
    order = ordered(map(Broker, "abcdefgh"))
    assert "".join(order.first(str(number)) for number in range(20)) == "efehdbaedbeaagaebhab"


@pytest.mark.parametrize("count", [2, 3, 20])
def test_each_broker_is_first_for_about_as_many_vhosts(count):
    order = ordered(BROKERS[:count])
    found = Counter(order.first(vhost) for vhost in VHOSTS)
    expected = len(VHOSTS) / count
    assert len(found) == count
    assert sum((each - expected) ** 2 / expected for each in found.values()) < 3 * count


def test_vhosts_of_a_broker_have_different_brokers_behind_it():
    order = ordered(BROKERS)
    lost = [vhost for vhost in VHOSTS if order.first(vhost) == BROKERS[0].identity]
    found = Counter(order.first(vhost, BROKERS[0].identity) for vhost in lost)
    assert len(found) == len(BROKERS) - 1
    assert max(found.values()) < 4 * len(lost) / len(BROKERS)


def test_broker_that_leaves_changes_only_the_orders_of_its_vhosts():
    before, after = ordered(BROKERS), ordered(BROKERS[1:])
    gone = BROKERS[0].identity
    assert all(after.first(vhost) == before.first(vhost, gone) for vhost in VHOSTS)


def test_brokers_that_prefer_a_vhost_come_first():
    order = ordered([*BROKERS[:5], Broker("one", pattern="tenant-1"), Broker("two", pattern="tenant-1")])
    assert {order.first("tenant-1"), order.first("tenant-1", order.first("tenant-1"))} == {"one", "two"}
    assert order.candidates("tenant-1") == ["one", "two"]
    assert order.candidates("tenant-2") is order.brokers


def test_broker_behind_the_only_one_that_prefers_a_vhost_is_one_of_all_others():
    order = ordered([*BROKERS, Broker("one", pattern="")])
    assert {order.first(vhost) for vhost in VHOSTS} == {"one"}
    assert len({order.first(vhost, "one") for vhost in VHOSTS}) == len(BROKERS)


def test_brokers_that_are_not_able_have_no_place():
    order = ordered([Broker("a", able=False), Broker("b", pattern="x"), Broker("c", able=False, pattern="x")])
    assert order.brokers == ["b"]
    assert order.candidates("x") == ["b"]
    assert (order.first("x"), order.first("x", "b")) == ("b", "")
    assert ordered([]).first("x") == ""


def test_best_of_some_brokers_is_the_first_of_them_in_the_order():
    order = ordered(BROKERS)
    for vhost in VHOSTS[:100]:
        first = order.first(vhost)
        others = [identity for identity in order.brokers if identity != first]
        assert order.best(vhost, order.brokers) == first
        assert order.best(vhost, others) == order.first(vhost, first)
        assert order.score(vhost, first) == max(order.score(vhost, identity) for identity in order.brokers)


def test_patterns_are_matched_once_for_each_vhost_and_pattern():
    calls = []

    def matches(pattern, vhost):
        calls.append((pattern, vhost))
        return False

    order = Order([Broker("a", pattern="x"), Broker("b", pattern="x"), Broker("c", pattern="y")], matches)
    for _ in range(2):
        order.first("1")
        order.candidates("2")
    assert sorted(calls) == [("x", "1"), ("x", "2"), ("y", "1"), ("y", "2")]


def test_deleted_vhosts_are_not_remembered():
    order = ordered([Broker("a", pattern="x"), Broker("b")])
    for number in range(100):
        order.first(str(number))
        order.retain([str(number)])
    assert len(order._first) == len(order._candidates) == 1


def test_names_may_have_any_characters():
    assert ordered([Broker("\udcff"), Broker("é")]).first("\udcff/\0")
