"""Brokers and vhosts as the placement sees them in the tables."""

from amqpbroker.cluster.leadership.leadership import Leader
from amqpbroker.cluster.leadership.leaderships import Held
from amqpbroker.cluster.leadership.members import Facts, Row
from amqpbroker.cluster.placement.order import Broker
from amqpbroker.cluster.placement.placement import Vhost
from amqpbroker.cluster.placement.sharing_view import brokers_of, matcher, processes_of, vhosts_of


def row(name, running=True, drained=False, pattern=""):
    return Row(Facts(f"process of {name}", name, f"{name}:1", "1", pattern), running, drained, 1, 2, None)


ROWS = [row("a"), row("b", pattern="^v"), row("c", drained=True), row("d", running=False)]


def held(log, name, valid=True, busy=False, successor="", wanted="", accepted=True):
    return Held(log, Leader(name, f"{name}:1", f"process of {name}"), valid, busy, successor, wanted, accepted)


def test_brokers_are_able_if_they_run_and_are_not_drained():
    assert brokers_of(ROWS) == [
        Broker("a a:1", True, None), Broker("b b:1", True, "^v"), Broker("c c:1", False, None),
        Broker("d d:1", False, None),
    ]  # fmt: skip
    assert processes_of(ROWS) == {f"{name} {name}:1": f"process of {name}" for name in "abc"}


def test_vhosts_have_leaders_that_run():
    leaderships = [
        held("v1", "a", busy=True, wanted="process of b"),
        held("v2", "a", valid=False, successor="process of b"),
        held("v3", "d", busy=True),
        held("v4", "a", wanted="process of d"),
        held("v6", "a", wanted="process of b", accepted=False),
        held("0", "a"),
        held("v7", "a")._replace(ready="process of b"),
        held("v8", "d")._replace(ready="process of a"),
        held("v9", "a")._replace(ready="process of d"),
    ]
    assert vhosts_of(["v1", "v2", "v3", "v4", "v5", "v6", "0", "v7", "v8", "v9"], leaderships, ROWS) == [
        Vhost("v1", "a a:1", True, wanted="b b:1"),
        Vhost("v2", last_leader="a a:1", successor="b b:1"),
        Vhost("v3", last_leader="d d:1"),
        Vhost("v4", "a a:1"),
        Vhost("v5"),
        Vhost("v6", "a a:1"),
        Vhost("0", "a a:1", stays=True),
        Vhost("v7", "a a:1", ready="b b:1"),
        Vhost("v8", last_leader="d d:1", ready="a a:1"),
        Vhost("v9", "a a:1"),
    ]


def test_patterns_match_the_names_of_vhosts_and_not_those_of_logs():
    matches = matcher({"v1": "orders", "0": ""}, lambda pattern, vhost: pattern in vhost)
    assert [matches("ord", "v1"), matches("v1", "v1"), matches("", "v1"), matches("", "0")] == [
        True,
        False,
        True,
        False,
    ]
