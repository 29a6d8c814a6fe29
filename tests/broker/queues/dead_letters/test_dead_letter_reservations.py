"""Dead letters that leave their queue only if another one takes them.

That a message stays whose letter is refused after all is tested with message groups (test_group_returns.py).
"""

import gc

import pytest

from amqpbroker.broker.exchanges.destination import Demand
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.wire.property_edit import set_headers
from amqpbroker.wire.values import Field
from tests.broker.queueing import declare, get
from tests.broker.queueing import message as plain


def dying(vhost: Vhost, **letters: str) -> LocalQueue:
    queue = declare(vhost, "q", **letters)
    for text in ("1", "2", "3"):
        queue.publish(plain(text.encode()))
    return queue


@pytest.mark.parametrize(
    ("letters", "is_taken"),
    [
        ({"dead_letter_exchange": "", "dead_letter_routing_key": "dead"}, True),
        ({"dead_letter_exchange": "amq.fanout"}, False),
        ({"dead_letter_exchange": "missing"}, False),
        ({"dead_letter_exchange": "", "dead_letter_routing_key": "q"}, True),
    ],
)
def test_letter_needs_an_exchange_and_a_queue(vhost: Vhost, letters: dict[str, str], is_taken: bool) -> None:
    declare(vhost, "dead")
    queue = dying(vhost, **letters)
    assert bool(vhost.dead_letters.promised.takers(get(queue), "rejected")) is is_taken


def test_letter_that_would_close_a_cycle_is_not_taken(vhost: Vhost) -> None:
    declare(vhost, "dead")
    queue = dying(vhost, dead_letter_exchange="", dead_letter_routing_key="q")
    assert not vhost.dead_letters.promised.takers(get(queue), "expired")


def test_letters_that_are_not_sent_yet_count_to_the_length_limit(vhost: Vhost) -> None:
    declare(vhost, "dead", max_length=2, overflow="reject-publish")
    queue = dying(vhost, dead_letter_exchange="", dead_letter_routing_key="dead")
    with vhost.dead_letters:
        found = []
        for _ in range(3):
            entry = get(queue)
            found.append(bool(vhost.dead_letters.promised.takers(entry, "rejected")))
            if found[-1]:
                vhost.dead_letters.promised.promise(entry)
                vhost.dead_letters.send(queue, [entry], "rejected")
    assert found == [True, True, False]
    assert vhost.dead_letters.promised.count == 0


@pytest.mark.parametrize("room", [0, 1])
def test_letter_that_was_sent_or_refused_no_longer_counts_to_the_length_limit(vhost: Vhost, room: int) -> None:
    dead = declare(vhost, "dead", max_length=1, overflow="reject-publish")
    queue = dying(vhost, dead_letter_exchange="", dead_letter_routing_key="dead")
    if not room:
        dead.publish(plain())
    entry = get(queue)
    assert bool(vhost.dead_letters.promised.takers(entry, "rejected")) is bool(room)
    if room:
        vhost.dead_letters.promised.promise(entry)
        vhost.dead_letters.send(queue, [entry], "rejected")
    vhost.delete_queue(dead)
    gc.collect()
    assert not [each for each in gc.get_objects() if isinstance(each, Demand) and each.destination is dead]


@pytest.mark.parametrize("drops", ["exchange", "queue"])
def test_letter_that_would_be_dropped_as_a_duplicate_is_not_taken(vhost: Vhost, drops: str) -> None:
    queue_options, kind, options = {"message_deduplication": True}, "fanout", {}
    if drops == "exchange":
        queue_options, kind, options = {}, "x-message-deduplication", {"x-cache-size": Field("l", 10)}
    dead = declare(vhost, "dead", **queue_options)
    exchange = vhost.declare_exchange("dlx", kind, False, False, False, options)
    vhost.bind(exchange, dead, b"", {})
    queue = declare(vhost, "q", dead_letter_exchange="dlx")
    for identity in ("one", "one", "two"):
        entry = b"\x16x-deduplication-headerS" + len(identity).to_bytes(4, "big") + identity.encode()
        message = plain()
        queue.publish(message.rewritten(message.address, set_headers(message.properties, entry)))
    with vhost.dead_letters:
        found = []
        for _ in range(3):
            entry_ = get(queue)
            found.append(bool(vhost.dead_letters.promised.takers(entry_, "rejected")))
            if found[-1]:
                vhost.dead_letters.promised.promise(entry_)
                vhost.dead_letters.send(queue, [entry_], "rejected")
    assert (found, dead.ready_count) == ([True, False, True], 2)
