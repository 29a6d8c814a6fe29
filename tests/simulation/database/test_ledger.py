"""The ledger accepts what may be found, and finds what is wrong."""

import pytest

from tests.simulation.database.ledger import Attempt, BrokenError, Contents, Ledger


def found(*live, queues=("q1",), streamed=1, last_id=5):
    return Contents(list(live), frozenset(queues), streamed, last_id)


@pytest.fixture
def ledger():
    made = Ledger()
    made.recover(1, Contents([]))
    for attempt in (Attempt(1, (), "q1", True, 5), Attempt(2)):
        made.attempt(1, attempt)
        made.acknowledge(1, attempt.sequence)
    made.attempt(1, Attempt(3, (1,), "q3", True, 6))
    return made


@pytest.mark.parametrize(
    "contents", [found(1, 2), found(1, 2, streamed=2), found(2, 3, queues=("q1", "q3"), streamed=2, last_id=6)]
)
def test_a_batch_under_way_is_found_or_not(ledger, contents):
    ledger.recover(2, contents)
    assert ledger.contents == contents


@pytest.mark.parametrize("live", [[1], [2, 1], [1, 2, 3], [2], [1, 2, 4], []])
def test_other_messages_are_refused(ledger, live):
    with pytest.raises(BrokenError, match="instead of"):
        ledger.recover(2, found(*live))


@pytest.mark.parametrize("queues", [(), ("q3",), ("q1", "q4")])
def test_other_queues_are_refused(ledger, queues):
    with pytest.raises(BrokenError, match="queues"):
        ledger.recover(2, found(1, 2, queues=queues))


def test_the_queue_of_a_batch_that_is_found_must_be_there(ledger):
    with pytest.raises(BrokenError, match=r"lacks the queues \['q3'\]"):
        ledger.recover(2, found(2, 3, streamed=2))


@pytest.mark.parametrize("streamed", [0, 3])
def test_another_length_of_the_stream_is_refused(ledger, streamed):
    with pytest.raises(BrokenError, match="in the stream"):
        ledger.recover(2, found(1, 2, streamed=streamed))


def test_an_id_that_was_used_is_not_given_again(ledger):
    with pytest.raises(BrokenError, match="finds 4 as the last id"):
        ledger.recover(2, found(1, 2, last_id=4))


def test_a_late_acknowledgement_of_a_batch_that_was_found_is_right(ledger):
    ledger.recover(2, found(2, 3, queues=("q1", "q3"), streamed=2))
    ledger.acknowledge(1, 3)
    assert ledger.contents.live == [2, 3]


def test_a_late_acknowledgement_of_a_batch_that_was_not_found_is_wrong(ledger):
    ledger.recover(2, found(1, 2))
    with pytest.raises(BrokenError, match="batch 3 of epoch 1 was acknowledged"):
        ledger.acknowledge(1, 3)


def test_a_deposed_leader_may_not_write(ledger):
    ledger.recover(2, found(1, 2))
    ledger.attempt(1, Attempt(4))
    with pytest.raises(BrokenError, match="batch 4 of epoch 1"):
        ledger.acknowledge(1, 4)


def test_batches_are_acknowledged_in_order(ledger):
    ledger.attempt(1, Attempt(4))
    with pytest.raises(BrokenError, match="before batch 3"):
        ledger.acknowledge(1, 4)


def test_epochs_grow(ledger):
    with pytest.raises(BrokenError, match="epoch 1 follows epoch 1"):
        ledger.recover(1, found(1, 2))
