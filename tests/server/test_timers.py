import logging

from amqpbroker.clock import ManualClock
from amqpbroker.server.timers import Timers


class Handle:
    def __init__(self, delay_s, callback):
        self.delay_s = delay_s
        self.callback = callback
        self.cancelled = False

    def cancel(self):
        self.cancelled = True


class Loop:
    """Stands in for the event loop: keeps what was to be called later."""

    def __init__(self):
        self.handles = []

    def call_later(self, delay_s, callback):
        self.handles.append(Handle(delay_s, callback))
        return self.handles[-1]

    @property
    def pending(self):
        return [handle for handle in self.handles if not handle.cancelled]

    def wake(self):
        (handle,) = self.pending
        self.handles.clear()
        handle.callback()


def driven():
    loop, clock = Loop(), ManualClock()
    return loop, clock, Timers(loop, clock)


def move(clock, delta_ms):
    """Advance the clock without firing its timers."""
    clock._now_ms += delta_ms


def test_the_loop_waits_for_the_earliest_timer():
    loop, clock, _ = driven()
    fired = []
    clock.after(500, lambda: fired.append("late"))
    assert [handle.delay_s for handle in loop.pending] == [0.5]
    clock.after(200, lambda: fired.append("early"))
    assert [handle.delay_s for handle in loop.pending] == [0.2]
    move(clock, 200)
    loop.wake()
    assert fired == ["early"]
    assert [handle.delay_s for handle in loop.pending] == [0.3]
    move(clock, 300)
    loop.wake()
    assert fired == ["early", "late"]
    assert loop.pending == []


def test_a_timer_set_before_the_start_counts():
    clock = ManualClock()
    clock.after(70, lambda: None)
    loop = Loop()
    Timers(loop, clock)
    assert [handle.delay_s for handle in loop.pending] == [0.07]


def test_timers_set_while_timers_fire_set_the_loop_once():
    loop, clock, _ = driven()
    clock.after(10, lambda: [clock.after(delay, lambda: None) for delay in (30, 20, 10)])
    move(clock, 10)
    loop.wake()
    assert [handle.delay_s for handle in loop.handles] == [0.01]


def test_a_loop_that_wakes_early_waits_at_least_a_millisecond():
    loop, clock, _ = driven()
    fired = []
    clock.after(10, lambda: fired.append(1))
    move(clock, 9)
    loop.wake()
    assert fired == []
    assert [handle.delay_s for handle in loop.pending] == [0.001]


def test_failed_timer_is_logged_and_other_timers_still_fire(caplog):
    loop, clock, _ = driven()
    fired = []
    clock.after(10, lambda: 1 // 0)
    clock.after(10, lambda: fired.append(1))
    move(clock, 10)
    with caplog.at_level(logging.ERROR):
        loop.wake()
    assert "ZeroDivisionError" in caplog.text
    loop.wake()
    assert fired == [1]


def test_closed_timers_do_not_fire():
    loop, clock, timers = driven()
    clock.after(10, lambda: None)
    timers.close()
    clock.after(5, lambda: None)
    assert loop.pending == []
