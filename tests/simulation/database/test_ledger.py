"""The ledger accepts what may be found, and finds what is wrong."""

import pytest

from tests.simulation.database.ledger import Attempt, BrokenError, Ledger


@pytest.fixture
def ledger():
    made = Ledger()
    made.recover(1, [])
    for sequence in (1, 2):
        made.attempt(1, Attempt(sequence, ()))
        made.acknowledge(1, sequence)
    made.attempt(1, Attempt(3, (1,)))
    return made


@pytest.mark.parametrize("found", [[1, 2], [2, 3]])
def test_a_batch_under_way_is_found_or_not(ledger, found):
    ledger.recover(2, found)
    assert ledger.live == found


@pytest.mark.parametrize("found", [[1], [2, 1], [1, 2, 3], [2], [1, 2, 4], []])
def test_other_contents_are_refused(ledger, found):
    with pytest.raises(BrokenError, match="instead of"):
        ledger.recover(2, found)


def test_a_late_acknowledgement_of_a_batch_that_was_found_is_right(ledger):
    ledger.recover(2, [2, 3])
    ledger.acknowledge(1, 3)
    assert ledger.live == [2, 3]


def test_a_late_acknowledgement_of_a_batch_that_was_not_found_is_wrong(ledger):
    ledger.recover(2, [1, 2])
    with pytest.raises(BrokenError, match="batch 3 of epoch 1 was acknowledged"):
        ledger.acknowledge(1, 3)


def test_a_deposed_leader_may_not_write(ledger):
    ledger.recover(2, [1, 2])
    ledger.attempt(1, Attempt(4, ()))
    with pytest.raises(BrokenError, match="batch 4 of epoch 1"):
        ledger.acknowledge(1, 4)


def test_batches_are_acknowledged_in_order(ledger):
    ledger.attempt(1, Attempt(4, ()))
    with pytest.raises(BrokenError, match="before batch 3"):
        ledger.acknowledge(1, 4)


def test_epochs_grow(ledger):
    with pytest.raises(BrokenError, match="epoch 1 follows epoch 1"):
        ledger.recover(1, [1, 2])
