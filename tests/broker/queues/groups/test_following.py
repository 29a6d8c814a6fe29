"""When closed groups try to follow. Whole queues are in test_group_returns.py."""

from amqpbroker.broker.queues.groups.following import FOLLOW_AGAIN_MAX_MS, FOLLOW_AGAIN_MS, Following
from amqpbroker.clock import ManualClock


class Tries:
    """A Following, and the times of its tries, in ms since the start."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.start_ms = self.clock.now_ms()
        self.times_ms: list[int] = []
        self.following = Following(self.clock, self._follow)

    def _follow(self) -> None:
        self.times_ms.append(self.clock.now_ms() - self.start_ms)

    def pauses(self, refused: int, closed: int, count: int) -> list[int]:
        """Return the pauses before so many tries that are all refused."""
        found = []
        for _ in range(count):
            before_ms, tries = self.clock.now_ms(), len(self.times_ms)
            self.following.begin()
            self.following.try_again(refused, closed)
            while len(self.times_ms) == tries:
                self.clock.advance(FOLLOW_AGAIN_MS)
            found.append(self.clock.now_ms() - before_ms)
        return found


def test_pause_doubles_up_to_the_maximum_while_all_groups_are_refused() -> None:
    assert Tries().pauses(1, 1, 9) == [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]


def test_pause_doubles_only_when_each_group_was_tried() -> None:
    assert Tries().pauses(2, 4, 7) == [1000, 2000, 2000, 4000, 4000, 8000, 8000]


def test_pause_is_short_again_after_a_message_was_taken() -> None:
    tries = Tries()
    assert tries.pauses(1, 1, 4)[-1] == 8000
    assert tries.pauses(0, 1, 2) == [FOLLOW_AGAIN_MS, FOLLOW_AGAIN_MS]
    tries.pauses(1, 1, 4)
    tries.following.begin()
    tries.following.succeeded()
    assert tries.pauses(1, 1, 1) == [FOLLOW_AGAIN_MS]


def test_pause_grows_again_only_when_each_group_was_tried_after_a_message_was_taken() -> None:
    tries = Tries()
    tries.pauses(1, 4, 3)
    tries.following.begin()
    tries.following.succeeded()
    assert tries.pauses(1, 4, 5) == [1000, 1000, 1000, 2000, 2000]


def test_event_brings_the_next_try_forward_after_the_shortest_pause() -> None:
    tries = Tries()
    assert tries.following.may_try
    tries.pauses(1, 1, 8)
    tries.following.begin()
    tries.following.try_again(1, 1)
    assert not tries.following.may_try
    tries.clock.advance(FOLLOW_AGAIN_MS - 1)
    assert not tries.following.may_try
    tries.clock.advance(1)
    assert tries.following.may_try
    assert FOLLOW_AGAIN_MS < FOLLOW_AGAIN_MAX_MS


def test_further_messages_wait_for_the_next_iteration_whatever_happens() -> None:
    tries = Tries()
    tries.pauses(1, 1, 1)
    tries.following.begin()
    tries.following.go_on()
    tries.following.succeeded()
    assert not tries.following.may_try
    tries.clock.advance(0)
    assert tries.times_ms == [1000, 1000]
    assert tries.following.may_try


def test_deleted_queue_tries_no_more() -> None:
    tries = Tries()
    tries.following.try_again(0, 1)
    tries.following.stop()
    tries.following.try_again(0, 1)
    tries.clock.advance(FOLLOW_AGAIN_MAX_MS)
    assert tries.times_ms == []
