"""Delivery tags of the confirms that a client gets if some of its publishes are lost."""

from amqpbroker.amqp.confirms import Confirms
from amqpbroker.testing.faults.confirms import Ledger
from tests.harness import LaggingStore


def waiting(published):
    """Return the confirms of publishes that all wait for the disk."""
    store = LaggingStore()
    store.appended = 1
    confirms = Confirms(1, store)
    confirms.published = published
    return confirms


def test_out_of_order_confirm_is_sent_at_once_and_confirms_only_itself():
    confirms = waiting(1)
    ledger = Ledger(1, confirms)
    assert ledger.confirmed("basic.ack", 3, False) == [(3, "basic.ack")]
    assert ledger.confirmed("basic.ack", 2, False) == [(2, "basic.ack")]
    assert ledger.confirmed("basic.ack", 4, True) == [(1, "basic.ack"), (4, "basic.ack")]
    assert ledger.confirmed("basic.nack", 5, True) == [(5, "basic.nack")]


def test_early_confirm_is_numbered_after_refused_publishes():
    confirms = waiting(1)
    ledger = Ledger(1, confirms)
    ledger.refuse()  # the client's second publish, while its third is the broker's second
    assert ledger.confirmed("basic.ack", 2, False) == [(3, "basic.ack")]
    assert ledger.confirmed("basic.ack", 1, False) == [(1, "basic.ack"), (2, "basic.nack")]
    assert ledger.confirmed("basic.ack", 3, False) == [(4, "basic.ack")]


def test_confirms_sent_before_the_fault_are_not_repeated():
    confirms = waiting(2)
    assert confirms.confirm_next()
    assert confirms.confirm_next()
    confirms.published += 1
    ledger = Ledger(1, confirms)
    assert ledger.confirmed("basic.ack", 5, True) == [(1, "basic.ack"), (2, "basic.ack"), (5, "basic.ack")]
