"""Numbers of dead letters of closed groups: those of a later queue are higher."""

from amqpbroker.broker.queues.dead_letters.letter_numbers import LetterNumbers
from amqpbroker.clock import ManualClock


def test_numbers_of_a_new_queue_exceed_those_of_earlier_brokers() -> None:
    clock = ManualClock()
    before = LetterNumbers(clock).before_first()
    clock.advance(10)
    assert LetterNumbers(clock).before_first() >= before + 10_000


def test_numbers_of_a_new_queue_exceed_all_reserved_ones() -> None:
    numbers = LetterNumbers(ManualClock())
    newest = numbers.before_first() + 500
    numbers.reserved(newest)
    numbers.reserved(newest - 400)
    assert numbers.before_first() == newest


def test_numbers_ascend_when_the_wall_clock_goes_back() -> None:
    clock = ManualClock()
    numbers = LetterNumbers(clock)
    newest = numbers.before_first() + 1
    numbers.reserved(newest)
    clock.stepped(-3_600_000)
    assert numbers.before_first() == newest
