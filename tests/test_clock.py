import pytest

from amqpbroker.clock import ManualClock, SystemClock, TravelClock


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


def test_on_earlier_tells_of_a_new_earliest_timer_only():
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


def test_a_travel_clock_runs_until_it_is_frozen_and_from_there_again():
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
