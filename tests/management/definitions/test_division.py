"""Documents divided for the brokers that import them."""

import pytest

from amqpbroker.management.definitions.division import Division, divided

SHOVEL = {"component": "shovel", "vhost": "v", "name": "s", "value": {}}
LIMITS = {"component": "vhost-limits", "vhost": "v", "name": "limits", "value": {}}


def test_what_is_in_vhosts_is_divided_by_vhost():
    q, r, e = ({"vhost": vhost, "name": name} for vhost, name in (("v", "q"), ("w", "r"), ("v", "e")))
    document = {"rabbit_version": "4", "users": [1], "queues": [q, r], "exchanges": [e], "policies": [2]}
    assert divided(document, None) == [
        Division(None, {"rabbit_version": "4", "users": [1], "policies": [2]}),
        Division("v", {"rabbit_version": "4", "queues": [q], "exchanges": [e]}),
        Division("w", {"rabbit_version": "4", "queues": [r]}),
    ]


def test_the_document_of_one_vhost_has_one_part_for_its_broker():
    assert divided({"queues": [{"name": "q"}], "policies": [2]}, "v") == [
        Division(None, {"policies": [2]}),
        Division("v", {"queues": [{"name": "q"}]}),
    ]


def test_shovels_come_last():
    queue = {"vhost": "v", "name": "q"}
    assert divided({"parameters": [SHOVEL, LIMITS], "queues": [queue]}, None) == [
        Division(None, {"parameters": [LIMITS]}),
        Division("v", {"queues": [queue]}),
        Division(None, {"parameters": [SHOVEL]}),
    ]


@pytest.mark.parametrize(
    "document", [{"queues": 1}, {"queues": [1]}, {"queues": [{"name": "q"}]}, {"parameters": 1}, {}]
)
def test_an_invalid_document_stays_whole(document):
    assert divided(document, None) == [Division(None, document)]
