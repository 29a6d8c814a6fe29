import pytest

from amqpbroker.cli.perf.schedule import Step
from amqpbroker.cli.perf.template import Kind, Template, Templates
from tests.cli.perf.publishes import parsed, stamps

MARK = b"thisrun!"


def template(*, size=20, frame_max=4096, chunk_bytes=2000, **more):
    return Template(Kind("ex", "key", size, {"delivery_mode": 2}, **more), frame_max, chunk_bytes)


@pytest.mark.parametrize("size", [0, 1, 20, 4088, 4089, 10_000])
def test_template_encodes_publishes_with_bodies_of_all_sizes(size):
    some = template(size=size, mandatory=True)
    count = min(some.most, 3)
    publishes = parsed(some.next_publishes(count), 4096)
    assert len(publishes) == count
    for arguments, props, body in publishes:
        assert (arguments["exchange"], arguments["routing_key"], arguments["mandatory"]) == ("ex", "key", True)
        assert props == {"delivery_mode": 2}
        assert len(body) == size


def test_chunk_has_as_many_messages_as_fit_but_at_least_one():
    some = template()
    assert some.each * some.most <= 2000 < some.each * (some.most + 1)
    assert len(some.next_publishes(some.most)) == some.each * some.most
    assert template(size=5000).most == 1


def test_priorities_rotate_over_chunks():
    some = template(max_priority=2)
    taken = [parsed(some.next_publishes(count), 4096) for count in (2, 3, some.most, 1)]
    priorities = [props["priority"] for publishes in taken for _, props, _ in publishes]
    assert priorities == [at % 3 for at in range(6 + some.most)]


@pytest.mark.parametrize("max_priority", [None, 2])
def test_messages_get_one_stamp_for_all_or_one_each(max_priority):
    some = template(mark=MARK, max_priority=max_priority)
    assert stamps(parsed(some.next_stamped(4, [0x0102030405060708]), 4096)) == [(MARK, 0x0102030405060708)] * 4
    assert stamps(parsed(some.next_stamped(3, [5, 6, 7]), 4096)) == [(MARK, 5), (MARK, 6), (MARK, 7)]
    assert stamps(parsed(some.next_stamped(1, [8]), 4096)) == [(MARK, 8)]


def test_body_of_several_frames_is_stamped():
    some = template(mark=MARK, size=10_000)
    (publish,) = parsed(some.next_stamped(1, [9]), 4096)
    assert stamps([publish]) == [(MARK, 9)]
    assert len(publish[2]) == 10_000


def test_template_publishes_the_given_body():
    some = template(size=0, body=b"as it is")
    assert some.size == 8
    assert [body for _, _, body in parsed(some.next_publishes(2), 4096)] == [b"as it is"] * 2


def test_unsent_messages_are_counted():
    some = template()
    some.next_publishes(3)
    assert some.last_bytes == 60
    assert [some.unsent(left) for left in (0, 1, some.each, some.each + 1)] == [(0, 0), (1, 20), (1, 20), (2, 40)]


ONE, OTHER = (Template(Kind("", "q", size, {}), 4096, 100) for size in (1, 2))


def test_single_template_is_used_at_all_times():
    some = Templates([ONE])
    assert some.at(0.0) is some.at(1e6) is ONE


def test_templates_are_used_one_after_the_other():
    some = Templates([ONE, OTHER], [Step(1, 2.0), Step(2, 1.0)])
    assert [some.at(elapsed_s) for elapsed_s in (0.0, 1.9, 2.0, 3.0)] == [ONE, ONE, OTHER, ONE]
