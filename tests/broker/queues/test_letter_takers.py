"""Queues that take a dead letter, also after others that are not sent yet."""

import pytest

from amqpbroker.broker.queues.letter_takers import LetterTakers
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.vhost import Vhost
from tests.broker.queueing import declare, get, message


def dying(vhost: Vhost, **letters: str) -> LocalQueue:
    queue = declare(vhost, "q", **letters)
    for text in ("1", "2", "3"):
        queue.publish(message(text.encode()))
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
    assert LetterTakers(vhost.dead_letters).may_take(get(queue), "rejected") is is_taken


def test_letter_that_would_close_a_cycle_is_not_taken(vhost: Vhost) -> None:
    declare(vhost, "dead")
    queue = dying(vhost, dead_letter_exchange="", dead_letter_routing_key="q")
    assert not LetterTakers(vhost.dead_letters).may_take(get(queue), "expired")


def test_letters_that_are_not_sent_yet_count_to_the_length_limit(vhost: Vhost) -> None:
    declare(vhost, "dead", max_length=2, overflow="reject-publish")
    queue = dying(vhost, dead_letter_exchange="", dead_letter_routing_key="dead")
    takers = LetterTakers(vhost.dead_letters)
    with vhost.dead_letters:
        found = []
        for _ in range(3):
            entry = get(queue)
            found.append(takers.may_take(entry, "rejected"))
            vhost.dead_letters.send(queue, [entry], "rejected")
    assert found == [True, True, False]
