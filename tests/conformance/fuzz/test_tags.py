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


def test_tag_words_stand_for_unacknowledged_deliveries():
    tags = delivered(1, 2, 3)
    assert [tags.meant(word) for word in (OLDEST, MIDDLE, NEWEST)] == [1, 2, 3]
    tags.settles(2, multiple=True)
    assert [tags.meant(word) for word in (OLDEST, NEWEST, SETTLED)] == [3, 3, 2]


def test_tag_words_mean_none_without_unacknowledged_deliveries():
    tags = Tags()
    assert [tags.meant(word) for word in (OLDEST, MIDDLE, NEWEST, SETTLED)] == [None] * 4
    assert tags.meant(UNKNOWN) > 0


def test_tag_zero_and_recover_leave_no_unacknowledged_deliveries():
    tags = delivered(1, 2)
    tags.settles(0, multiple=True)
    assert tags.meant(OLDEST) is None
    tags = delivered(1, 2)
    tags.gives_all_back()
    assert tags.meant(OLDEST) is None


def test_deliveries_without_ack_do_not_count_as_unacknowledged():
    tags = Tags()
    tags.consumes_without_acks("c")
    tags.got_without_ack(2)
    tags.took(Event(1, "basic.deliver", {"delivery_tag": 1, "consumer_tag": "c"}))
    tags.took(Event(1, "basic.get-ok", {"delivery_tag": 2}))
    assert tags.meant(OLDEST) is None
    assert tags.meant(UNKNOWN) > 2


def test_multiple_confirm_equals_single_confirms():
    single = [confirm("basic.ack", tag) for tag in (1, 2, 3)]
    assert Tags().confirms(single) == Tags().confirms([confirm("basic.ack", 3, multiple=True)])
    assert Tags().confirms([confirm("basic.nack", 2), confirm("basic.ack", 3, multiple=True)]) == {
        "basic.ack": [1, 3],
        "basic.nack": [2],
    }


def test_confirms_already_recorded_are_not_reported_again():
    tags = Tags()
    tags.confirmed([confirm("basic.ack", 2, multiple=True)])
    assert tags.confirms([confirm("basic.ack", 4, multiple=True)]) == {"basic.ack": [3, 4]}
