import pytest

from amqpbroker.clock import STEP_LOOK_MS, ManualClock, SystemClock, TravelClock


def test_timers_fire_in_the_order_of_their_time_then_of_being_set():
    clock = ManualClock(0)
    fired = []
    clock.at(20, lambda: fired.append("b"))
    clock.at(10, lambda: fired.append("a"))
    clock.at(20, lambda: fired.append("c"))
    clock.advance(19)
    assert fired == ["a"]
    clock.advance(1)
    assert fired == ["a", "b", "c"]


def test_each_timer_sees_its_own_time_while_the_clock_is_advanced():
    clock = ManualClock(0)
    seen = []
    clock.at(5, lambda: seen.append(clock.now_ms()))
    clock.at(7, lambda: clock.after(1, lambda: seen.append(clock.now_ms())))
    clock.advance(100)
    assert seen == [5, 8]
    assert clock.now_ms() == 100


def test_a_cancelled_timer_never_fires():
    clock = ManualClock(0)
    timer = clock.after(5, lambda: pytest.fail("cancelled"))
    timer.cancel()
    timer.cancel()
    clock.advance(10)
    assert clock.next_due_ms() is None


def test_a_timer_set_for_now_while_firing_waits_for_the_next_call():
    clock = ManualClock(0)
    fired = []

    def again():
        fired.append(1)
        clock.at(0, again)

    clock.at(0, again)
    assert clock.fire_due() == 0
    assert fired == [1]


def test_a_callback_that_raises_loses_no_other_timer():
    clock = ManualClock(0)
    fired = []

    def fail():
        clock.at(0, lambda: fired.append("set before the failure"))
        clock.at(0, explode)

    def explode():
        raise ValueError("boom")

    clock.at(0, fail)
    clock.at(0, explode)
    with pytest.raises(ValueError, match="boom"):
        clock.fire_due()
    with pytest.raises(ValueError, match="boom"):
        clock.fire_due()
    assert fired == ["set before the failure"]


def test_many_cancelled_timers_do_not_pile_up():
    clock = ManualClock(0)
    keep = clock.after(10_000, lambda: None)
    for _ in range(10_000):
        clock.after(5_000, lambda: None).cancel()
    assert len(clock._heap) < 200
    assert clock.next_due_ms() == keep.due_ms


def test_clock_calls_on_earlier_only_for_a_new_earliest_timer():
    clock = ManualClock(0)
    told = []
    clock.on_earlier = told.append
    clock.at(20, lambda: None)
    clock.at(30, lambda: None)
    clock.at(10, lambda: None)
    assert told == [20, 10]


def test_system_time_is_unix_time_and_does_not_go_back():
    import time

    clock = SystemClock()
    before, first, after = time.time() * 1000, clock.now_ms(), time.time() * 1000
    assert before - 1000 < first < after + 1000
    assert clock.now_ms() >= first
    assert clock.turn_ms >= first


def test_travel_clock_continues_from_its_frozen_time_when_resumed():
    clock = TravelClock()
    clock.freeze()
    stood = clock.now_ms()
    assert clock.frozen
    fired = []
    clock.after(5_000, lambda: fired.append(clock.now_ms() - stood))
    clock.after(1_000, lambda: fired.append(clock.now_ms() - stood))
    while clock.step(stood + 4_000):
        pass
    assert fired == [1_000]
    assert clock.now_ms() == stood + 4_000
    while clock.step(stood + 9_000):
        pass
    assert fired == [1_000, 5_000]
    clock.resume()
    assert not clock.frozen
    assert 9_000 <= clock.now_ms() - stood < 60_000


# --- steps of the wall clock ------------------------------------------------------------------------------------------

HOUR_MS = 3_600_000


def test_timers_of_the_wall_clock_follow_its_steps():
    clock = ManualClock(0)
    fired = []
    clock.at_wall(HOUR_MS, lambda: fired.append("due"))
    clock.at_wall(3 * HOUR_MS, lambda: fired.append("later"))
    clock.stepped(2 * HOUR_MS)
    assert (clock.now_ms(), clock.wall_ms()) == (0, 2 * HOUR_MS)
    clock.advance(0)
    assert fired == ["due"]
    clock.stepped(-HOUR_MS)
    clock.advance(4 * HOUR_MS - 1)
    assert fired == ["due"]
    clock.advance(1)
    assert fired == ["due", "later"]
    assert (clock.now_ms(), clock.wall_ms()) == (4 * HOUR_MS, 3 * HOUR_MS)


def test_timers_of_a_duration_ignore_wall_clock_steps():
    clock = ManualClock(0)
    fired = []
    clock.after(1000, lambda: fired.append("after"))
    clock.at(2000, lambda: fired.append("at"))
    for ahead_ms in (HOUR_MS, -HOUR_MS):
        clock.stepped(ahead_ms)
        assert (clock.now_ms(), clock.next_due_ms()) == (0, 1000)
    clock.advance(1999)
    assert fired == ["after"]
    clock.advance(1)
    assert fired == ["after", "at"]


def test_a_step_that_moves_a_timer_forward_is_reported_to_the_driver():
    clock = ManualClock(0)
    clock.at_wall(HOUR_MS, lambda: None).cancel()
    clock.at_wall(2 * HOUR_MS, lambda: None)
    told = []
    clock.on_earlier = told.append
    clock.stepped(HOUR_MS)
    assert told == [HOUR_MS]
    # A timer that is set after a step uses the stepped wall clock.
    clock.at_wall(HOUR_MS + 10, lambda: None)
    assert told == [HOUR_MS, 10]


class Machine:
    """Both clocks of a machine, in nanoseconds."""

    def __init__(self):
        self.monotonic = 5_000_000_000
        self.wall = 1_700_000_000_000_000_000

    def clock(self):
        return SystemClock(lambda: self.monotonic, lambda: self.wall)

    def passes(self, clock, ms):
        """Advance both clocks, and drive the clock meanwhile."""
        for _ in range(ms // 100):
            self.monotonic += 100_000_000
            self.wall += 100_000_000
            clock.fire_due()


def test_system_clock_notices_a_wall_clock_step_within_a_second():
    machine = Machine()
    clock = machine.clock()
    began_ms = clock.now_ms()
    fired = []
    clock.at_wall(clock.wall_ms() + HOUR_MS, lambda: fired.append("due"))
    clock.after(10_000, lambda: fired.append("after"))
    machine.passes(clock, 3_000)
    machine.wall += HOUR_MS * 1_000_000
    assert clock.wall_ms() == began_ms + 3_000 + HOUR_MS
    machine.passes(clock, STEP_LOOK_MS)
    assert fired == ["due"]
    clock.at_wall(clock.wall_ms() + 60_000, lambda: fired.append("much later"))
    machine.wall -= 2 * HOUR_MS * 1_000_000
    machine.passes(clock, 100_000)
    assert fired == ["due", "after"]
    assert clock.now_ms() == began_ms + 103_000 + STEP_LOOK_MS
    machine.wall += 2 * HOUR_MS * 1_000_000
    machine.passes(clock, STEP_LOOK_MS)
    assert fired == ["due", "after", "much later"]


def test_the_delay_between_reading_both_clocks_is_not_a_step():
    machine = Machine()
    clock = machine.clock()
    clock.at_wall(clock.wall_ms() + HOUR_MS, lambda: None)
    machine.wall += 4_000_000
    machine.passes(clock, 2 * STEP_LOOK_MS)
    assert clock.ahead_ms == 0
