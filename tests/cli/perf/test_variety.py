import uuid

from amqpbroker.cli.perf.variety import Variety, random_properties
from amqpbroker.wire.properties import decode_properties, encode_properties


def some(seed=1, number=0, count=100):
    chance = Variety(seed).chance(number)
    return [random_properties(chance) for _ in range(count)]


def test_every_message_has_ids_of_its_own_and_all_properties_vary():
    found = some()
    for name in ("message_id", "correlation_id"):
        assert len({uuid.UUID(one[name].decode()) for one in found}) == 100
    for name in ("content_type", "message_type", "timestamp"):
        assert len({one[name] for one in found}) > 1
    for name in ("attempt", "tenant", "trace-id"):
        assert len({str(one["headers"][name]) for one in found}) > 1
    assert all(len(one["headers"]) == 3 for one in found)


def test_random_properties_can_be_encoded_and_decoded():
    for one in some():
        assert decode_properties(encode_properties(one)) == one


def test_random_properties_have_the_same_encoded_length():
    assert len({len(encode_properties(one)) for one in some()}) == 1


def test_random_properties_depend_on_the_seed_and_the_pool():
    assert some() == some()
    assert some(seed=2) != some()
    assert some(number=1) != some()
