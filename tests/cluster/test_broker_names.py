"""Names of the brokers that use one database."""

import pytest

from amqpbroker.broker.cluster import Member, UnknownBrokerError
from amqpbroker.cluster.broker_names import distinct_names, found
from amqpbroker.cluster.leadership.members import Facts

BROKERS = [
    Facts("p", "amqpbroker@localhost", "10.0.0.1:5672", "1"),
    Facts("q", "amqpbroker@localhost", "10.0.0.2:5672", "1"),
    Facts("r", "other@host", "h:2", "1"),
    Facts("s", "twin@host", "h:1", "1"),
    Facts("t", "twin@host", "h:1", "1"),
]


def test_brokers_with_the_same_name_have_their_addresses():
    assert list(distinct_names(BROKERS).values()) == [
        "amqpbroker@10.0.0.1:5672",
        "amqpbroker@10.0.0.2:5672",
        "other@host",
        "twin@h:1-s",
        "twin@h:1-t",
    ]


@pytest.mark.parametrize("name", ["other@host", "h:2", "r"])
def test_a_broker_is_found_by_each_name_that_only_it_has(name):
    names = distinct_names(BROKERS)
    members = [
        Member(names[each.process], each.node, each.process, each.address, "1", True, False, False, 1, 2, None, 0)
        for each in BROKERS
    ]
    assert found(members, name).process == "r"
    with pytest.raises(UnknownBrokerError, match="h:1 is no broker with this database: name one of amqpbroker@10"):
        found(members, "h:1")
