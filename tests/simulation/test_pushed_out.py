"""The check of messages that restarts push out of queues with a length limit, with constructed dumps."""

from types import SimpleNamespace

import pytest

from tests.broker.queueing import declare, get, make_vhost, publish
from tests.simulation.checks import pushed_out


@pytest.fixture
def vhost():
    return make_vhost()


@pytest.fixture
def process(vhost):
    return SimpleNamespace(broker=SimpleNamespace(vhosts={"/": vhost}))


def dump(*names):
    """Return the facts of messages named by queue and number, such as q1."""
    return {("message", "/", name[0], int(name[1:])): {"body": name[1:].encode()} for name in names}


def limited(vhost, overflow="drop-head", **settings):
    """Return a queue of at most two messages that holds two, with a third one unacknowledged."""
    queue = declare(vhost, "q", max_length=2, overflow=overflow, **settings)
    publish(queue, b"1", b"2")
    get(queue)
    publish(queue, b"3")
    return queue


def test_only_a_drop_head_queue_with_unacked_messages_may_lose_messages(vhost, process):
    queue = limited(vhost)
    declare(vhost, "r", max_length=2)
    assert pushed_out.crowded(process) == [queue]


def test_reject_publish_queue_may_not_lose_messages(vhost, process):
    limited(vhost, "reject-publish")
    assert pushed_out.crowded(process) == []


def test_messages_over_the_limit_may_be_missing(vhost, process):
    before, after = dump("q1", "q2", "q3"), dump("q2", "q3")
    assert list(pushed_out.faults(before, after, limited(vhost), process)) == []
    assert before == after


def test_messages_within_the_limit_must_exist(vhost, process):
    before, after = dump("q1", "q2", "q3"), dump("q3")
    assert len(list(pushed_out.faults(before, after, limited(vhost), process))) == 1


@pytest.mark.parametrize(("letters", "faults"), [([b"1"], 0), ([], 1), ([b"2"], 1)])
def test_missing_messages_must_be_dead_letters(vhost, process, letters, faults):
    dead = declare(vhost, "d", queue_type="quorum")
    publish(dead, *letters)
    queue = limited(vhost, dead_letter_exchange="", dead_letter_routing_key="d")
    assert not pushed_out.is_unknown(queue)
    before, after = dump("q1", "q2", "q3"), dump("q2", "q3", "d1")
    assert len(list(pushed_out.faults(before, after, queue, process))) == faults
    assert ("message", "/", "d", 1) not in after


@pytest.mark.parametrize("exchange", ["", "amq.fanout"])
def test_dead_letters_to_exchanges_and_limited_queues_are_not_checked(vhost, exchange):
    declare(vhost, "d", queue_type="quorum", max_length=1)
    assert pushed_out.is_unknown(limited(vhost, dead_letter_exchange=exchange, dead_letter_routing_key="d"))
