import random

import pytest

from amqpbroker.client.protocol import Delivery
from amqpbroker.shovel.transfer import Ends, Transfer

#: Bytes of unconfirmed messages above which nothing is read.
WINDOW = 1_000_000


class Recorder(Ends):
    """A source and a destination that record the operations."""

    def __init__(self, mode="on-confirm", remaining=None):
        self.published = []
        self.acked = []
        self.reading = True
        self.retries = 0
        self.changes = []
        self.is_finished = 0
        self.last = 0
        self.transfer = Transfer(self, mode, remaining, WINDOW)

    def publish(self, delivery):
        self.published.append(delivery.tag)

    def ack(self, tag, multiple):
        self.acked.append((tag, multiple))

    def read(self, reading):
        self.reading = reading

    def retry_later(self, retry):
        assert retry == self.transfer.retry
        self.retries += 1

    def changed(self, status):
        self.changes.append(status)

    def finished(self):
        self.is_finished += 1

    def deliver(self, count=1, body=b""):
        for _ in range(count):
            self.last += 1
            self.transfer.delivered(Delivery(self.last, b"", b"k", b"\0\0", body))


def test_confirmed_messages_are_acknowledged():
    ends = Recorder()
    ends.deliver(5)
    assert ends.published == [1, 2, 3, 4, 5]
    assert ends.acked == []
    ends.transfer.confirmed(2, False, True)
    ends.transfer.confirmed(4, True, True)
    ends.transfer.confirmed(5, False, True)
    assert ends.acked == [(2, False), (4, True), (5, False)]


@pytest.mark.parametrize("mode", ["on-publish", "no-ack"])
def test_shovel_without_confirms_acknowledges_on_publish_or_never(mode):
    ends = Recorder(mode)
    ends.deliver(2)
    assert ends.published == [1, 2]
    assert ends.acked == ([(1, False), (2, False)] if mode == "on-publish" else [])


def test_messages_wait_in_order_while_blocked():
    ends = Recorder()
    ends.transfer.blocked(True)
    ends.deliver(3)
    assert ends.published == []
    ends.transfer.full(True)
    ends.transfer.blocked(False)
    assert ends.published == []
    ends.transfer.full(False)
    assert ends.published == [1, 2, 3]
    assert ends.changes == ["blocked", "flow", "running"]


def test_transfer_pauses_when_the_network_buffer_is_full():
    ends = Recorder("on-publish")
    ends.publish = lambda delivery: (ends.published.append(delivery.tag), ends.transfer.full(True))
    ends.deliver(3)
    assert ends.published == [1]
    assert ends.acked == [(1, False)]
    ends.transfer.full(False)
    assert ends.published == [1, 2]


def test_refused_messages_are_published_again_first():
    ends = Recorder()
    ends.deliver(4)
    ends.transfer.confirmed(3, False, False)
    assert ends.transfer.status == "blocked"
    assert ends.retries == 1
    ends.deliver(1)
    assert ends.published == [1, 2, 3, 4]
    ends.transfer.retry()
    assert ends.retries == 2, "others are still on their way"
    ends.transfer.confirmed(2, True, False)
    ends.transfer.confirmed(4, False, True)
    assert ends.acked == [(4, False)]
    ends.transfer.retry()
    assert ends.published == [1, 2, 3, 4, 1, 2, 3, 5]
    assert ends.transfer.status == "running"
    ends.transfer.confirmed(8, True, True)
    assert ends.acked == [(4, False), (5, True)]


def test_reading_pauses_when_the_window_is_full():
    ends = Recorder()
    half = b"x" * (WINDOW // 2)
    ends.deliver(3, half)
    assert not ends.reading
    assert len(ends.published) == 3
    ends.transfer.confirmed(1, False, True)
    assert not ends.reading
    ends.transfer.confirmed(3, True, True)
    assert ends.reading


@pytest.mark.parametrize("mode", ["on-confirm", "on-publish"])
def test_transfer_ends_after_a_number_of_messages(mode):
    ends = Recorder(mode, 2)
    ends.deliver(4)
    assert ends.published == [1, 2]
    if mode == "on-confirm":
        assert ends.is_finished == 0
        ends.transfer.confirmed(2, True, True)
    assert ends.is_finished == 1
    assert all(tag <= 2 for tag, _ in ends.acked)


def test_refused_messages_do_not_count_as_transferred():
    ends = Recorder(remaining=1)
    ends.deliver(1)
    ends.transfer.confirmed(1, False, False)
    ends.transfer.retry()
    assert ends.is_finished == 0
    ends.transfer.confirmed(2, False, True)
    assert ends.is_finished == 1


def test_after_the_end_confirms_are_handled_but_nothing_is_published():
    ends = Recorder()
    ends.deliver(1)
    ends.transfer.end()
    ends.deliver(1)
    ends.transfer.confirmed(1, False, True)
    assert ends.published == [1]
    assert ends.acked == [(1, False)]


def test_nothing_is_retried_after_the_end():
    ends = Recorder()
    ends.deliver(3)
    ends.transfer.confirmed(1, False, False)
    ends.transfer.end()
    ends.transfer.retry()
    ends.transfer.confirmed(2, False, False)
    assert (ends.retries, ends.published) == (1, [1, 2, 3])


def test_confirm_of_an_unknown_message_is_ignored():
    ends = Recorder()
    ends.transfer.confirmed(7, False, True)
    ends.transfer.confirmed(7, True, False)
    assert ends.acked == []
    assert ends.retries == 0


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_acknowledged_before_it_is_confirmed(seed):
    """Check that each message is acknowledged once, after its confirm, in any order of events."""
    chance = random.Random(seed)
    ends = Recorder()
    confirmed, acked, waiting = set(), set(), []
    ends.publish = lambda delivery: (ends.published.append(delivery.tag), waiting.append(delivery.tag))
    number = 0

    def settle():
        nonlocal number
        count = chance.randint(1, len(waiting))
        taken = chance.random() < 0.8
        tags = [waiting.pop(0) for _ in range(count)]
        number += count
        if taken:
            confirmed.update(tags)
        ends.transfer.confirmed(number, count > 1, taken)

    def look():
        for tag, multiple in ends.acked:
            acked.update(range(1, tag + 1) if multiple else [tag])
        assert acked == confirmed

    for _ in range(200):
        step = chance.choice(("deliver", "deliver", "settle", "retry", "block"))
        if step == "deliver":
            ends.deliver(chance.randint(1, 5))
        elif step == "settle" and waiting:
            settle()
        elif step == "retry" and ends.transfer._waiting:
            ends.transfer.retry()
        elif step == "block":
            ends.transfer.blocked(chance.random() < 0.3)
        look()
    ends.transfer.blocked(False)
    while len(confirmed) < ends.last:
        if waiting:
            settle()
        else:
            ends.transfer.retry()
        look()
