"""The model of routing for simulated messages."""

import pytest

from tests.simulation.workloads.bindings import Address, Binding, Topology, is_safe, topic_matches
from tests.simulation.world import KILLED, POWER, Death

TYPES = {"x": "direct", "y": "topic", "h": "headers", "spare": "fanout"}


def topology(*bindings, deaths=(), **alternates):
    return Topology(TYPES, alternates, bindings, list(deaths))


def binding(source, destination, pattern="", present=True, since=0, **rest):
    return Binding(source, destination, destination in TYPES, pattern, present=present, since=since, **rest)


def reached(topology, exchange="x", keys=("a",), headers=None, since=10):
    found = topology.reached(exchange, Address(keys, headers or {}), since)
    return list(found.must), list(found.may)


@pytest.mark.parametrize(
    ("pattern", "key", "matches"),
    [
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("a.#", "a", True),
        ("#.c", "a.b.c", True),
        ("#", "", True),
        ("*", "", False),
        ("*.b", "a.b.c", False),
    ],
)
def test_topic_patterns_match_words(pattern, key, matches):
    assert topic_matches(pattern.split("."), key.split(".") if key else []) is matches


def test_model_allows_both_outcomes_for_an_uncertain_binding():
    assert reached(topology(binding("x", "q", "a"))) == (["q"], ["q"])
    assert reached(topology(binding("x", "q", "a", present=None))) == ([], ["q"])
    assert reached(topology(binding("x", "q", "a", since=20))) == ([], ["q"])
    assert reached(topology(binding("x", "q", "a", present=False))) == ([], [])
    assert reached(topology(binding("x", "q", "b"))) == ([], [])


def test_model_routes_all_routing_keys_of_a_message():
    assert reached(topology(binding("x", "q", "b")), keys=("a", "b")) == (["q"], ["q"])


def test_model_routes_through_exchanges_bound_in_a_cycle():
    found = topology(binding("x", "y", "a"), binding("y", "x", "#"), binding("y", "q", "*"))
    assert reached(found) == (["q"], ["q"])


def test_alternate_exchange_gets_unroutable_messages():
    to_spare = binding("spare", "rest")
    assert reached(topology(to_spare, x="spare")) == (["rest"], ["rest"])
    assert reached(topology(to_spare, binding("x", "q", "a"), x="spare")) == (["q"], ["q"])
    maybe = topology(to_spare, binding("x", "q", "a", present=None), x="spare")
    assert reached(maybe) == ([], ["q", "rest"])


def test_alternate_exchange_is_not_used_if_an_exchange_is_bound():
    assert reached(topology(binding("spare", "rest"), binding("x", "y", "a"), x="spare")) == ([], [])


def test_headers_match_all_or_any():
    wanted = {"h1": "v", "h2": "w"}
    given = {"h1": "v", "h2": "v"}
    assert reached(topology(binding("h", "q", headers=wanted)), "h", headers=given) == ([], [])
    assert reached(topology(binding("h", "q", headers=wanted, any_header=True)), "h", headers=given)[0] == ["q"]


def test_power_failure_undoes_unsynced_changes():
    deaths = [Death(at_ns=100, kind=POWER, synced_ns=50, troubled_ns=0)]
    assert is_safe(49, deaths)
    assert not is_safe(60, deaths)
    assert is_safe(101, deaths)
    assert is_safe(60, [Death(at_ns=100, kind=KILLED, synced_ns=50, troubled_ns=0)])
    assert reached(topology(binding("x", "q", "a", since=60), deaths=deaths), since=200) == ([], ["q"])
