"""Messages of an application: the same for the same seed, and no two alike."""

from tests.bench.application import ATTEMPTS, DIFFERENT, LARGEST_BYTES, SMALLEST_BYTES, TENANTS, messages


def test_the_same_seed_makes_the_same_messages():
    assert list(messages(50, seed=7)) == list(messages(50, seed=7))


def test_another_seed_makes_other_messages():
    first, second = (list(messages(200, seed)) for seed in (1, 2))
    assert not {body for _, body in first} & {body for _, body in second}
    assert not {each["message_id"] for each, _ in first} & {each["message_id"] for each, _ in second}


def test_application_messages_have_distinct_ids_trace_ids_and_bodies():
    made = list(messages())
    assert len(made) == DIFFERENT == 4_000
    assert len({properties["message_id"] for properties, _ in made}) == DIFFERENT
    assert len({properties["headers"]["trace-id"].value for properties, _ in made}) == DIFFERENT
    assert len({body for _, body in made}) == DIFFERENT


def test_each_message_has_its_properties_and_three_headers():
    common = {"content_type", "headers", "message_id", "timestamp", "message_type"}
    made = [properties for properties, _ in messages()]
    assert all(set(each) in (common, common | {"correlation_id"}) for each in made)
    assert 0.25 * DIFFERENT < sum("correlation_id" in each for each in made) < 0.35 * DIFFERENT
    headers = [each["headers"] for each in made]
    assert all(set(each) == {"attempt", "tenant", "trace-id"} for each in headers)
    assert {each["attempt"].value for each in headers} == set(ATTEMPTS)
    assert {each["tenant"].value.decode() for each in headers} == set(TENANTS)


def test_body_sizes_are_within_the_given_bounds():
    sizes = [len(body) for _, body in messages()]
    assert SMALLEST_BYTES <= min(sizes) < 2 * SMALLEST_BYTES
    assert 0.95 * LARGEST_BYTES < max(sizes) <= LARGEST_BYTES
    assert {len(body) for _, body in messages(3, smallest=5_000, largest=5_000)} == {5_000}
