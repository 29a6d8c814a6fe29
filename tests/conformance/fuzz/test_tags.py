"""Delivery tags that a channel holds, and publishes that are confirmed."""

from conformance.decoder import Event
from conformance.fuzz.tags import MIDDLE, NEWEST, OLDEST, SETTLED, UNKNOWN, Tags


def delivered(*tags, consumer="c"):
    found = Tags()
    for tag in tags:
        found.took(Event(1, "basic.deliver", {"delivery_tag": tag, "consumer_tag": consumer}))
    return found


def confirm(name, tag, multiple=False):
    return Event(1, name, {"delivery_tag": tag, "multiple": multiple})


def test_words_stand_for_what_is_held():
    tags = delivered(1, 2, 3)
    assert [tags.meant(word) for word in (OLDEST, MIDDLE, NEWEST)] == [1, 2, 3]
    tags.settles(2, multiple=True)
    assert [tags.meant(word) for word in (OLDEST, NEWEST, SETTLED)] == [3, 3, 2]


def test_nothing_held_means_nothing():
    tags = Tags()
    assert [tags.meant(word) for word in (OLDEST, MIDDLE, NEWEST, SETTLED)] == [None] * 4
    assert tags.meant(UNKNOWN) > 0


def test_all_are_settled_by_zero_and_given_back_by_recover():
    tags = delivered(1, 2)
    tags.settles(0, multiple=True)
    assert tags.meant(OLDEST) is None
    tags = delivered(1, 2)
    tags.gives_all_back()
    assert tags.meant(OLDEST) is None


def test_what_needs_no_ack_is_not_held():
    tags = Tags()
    tags.consumes_without_acks("c")
    tags.got_without_ack(2)
    tags.took(Event(1, "basic.deliver", {"delivery_tag": 1, "consumer_tag": "c"}))
    tags.took(Event(1, "basic.get-ok", {"delivery_tag": 2}))
    assert tags.meant(OLDEST) is None
    assert tags.meant(UNKNOWN) > 2


def test_combined_confirms_are_the_same_as_single_ones():
    single = [confirm("basic.ack", tag) for tag in (1, 2, 3)]
    assert Tags().confirms(single) == Tags().confirms([confirm("basic.ack", 3, multiple=True)])
    assert Tags().confirms([confirm("basic.nack", 2), confirm("basic.ack", 3, multiple=True)]) == {
        "basic.ack": [1, 3],
        "basic.nack": [2],
    }


def test_confirms_that_are_accounted_for_do_not_come_again():
    tags = Tags()
    tags.confirmed([confirm("basic.ack", 2, multiple=True)])
    assert tags.confirms([confirm("basic.ack", 4, multiple=True)]) == {"basic.ack": [3, 4]}
