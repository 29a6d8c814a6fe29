import random
import tracemalloc

import pytest

from amqpbroker.broker.queues.lines.number_set import NumberSet


def read(numbers: NumberSet, step: int) -> list[int]:
    found: list[int] = []
    while some := numbers.following(found[-1] if found else 0, step):
        assert len(some) <= step
        found += some
    return found


@pytest.mark.parametrize("seed", range(20))
def test_numbers_are_read_in_ascending_order_after_any_changes(seed: int) -> None:
    chance = random.Random(seed)
    numbers, expected = NumberSet(), set[int]()
    for _ in range(100):
        some = [chance.randint(1, 300) for _ in range(chance.randint(0, 20))]
        match chance.randint(0, 5):
            case 0 | 1:
                numbers.update(some)
                expected.update(some)
            case 2:
                numbers.difference_update(some)
                expected.difference_update(some)
            case 3 if some:
                numbers.add(some[0])
                expected.add(some[0])
            case 4 if some:
                numbers.discard(some[0])
                expected.discard(some[0])
            case 5 if not chance.randint(0, 9):
                numbers.clear()
                expected.clear()
        assert (len(numbers), set(numbers)) == (len(expected), expected)
        assert all((number in numbers) == (number in expected) for number in some)
        if chance.randint(0, 1):
            assert read(numbers, chance.randint(1, 9)) == sorted(expected)


class Compared(int):
    """A number that counts its comparisons."""

    count = 0

    def __lt__(self, other: int) -> bool:
        Compared.count += 1
        return int(self) < int(other)

    def __gt__(self, other: int) -> bool:
        Compared.count += 1
        return int(self) > int(other)


@pytest.mark.parametrize("adds", [False, True])
def test_each_step_looks_only_at_the_numbers_that_it_returns(adds: bool) -> None:
    Compared.count = 0
    numbers = NumberSet()
    numbers.update([Compared(each) for each in range(1, 5001)])
    place = 0
    for step in range(500):
        found = numbers.following(place, 10)
        place = found[-1]
        if adds:
            # Messages are published to groups that are parked.
            numbers.add(Compared(5001 + step))
    assert place == 5000
    # To sort them once, and to find the place of each step; 2,500,000 if each step looked at all numbers.
    assert Compared.count < 5000 * 13 + 500 * 13


def test_removed_numbers_take_no_memory() -> None:
    numbers = NumberSet()
    numbers.update(range(1, 11))
    assert numbers.following(0, 10) == [*range(1, 11)]
    tracemalloc.start()
    for number in range(10_000, 30_000):
        numbers.add(number)
        if number % 2:
            numbers.discard(number)
        else:
            numbers.difference_update([number])
    memory, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert memory < 100_000
    assert numbers.following(0, 20) == [*range(1, 11)]
