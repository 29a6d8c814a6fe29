import pytest

from amqpbroker.cli.number import Number
from amqpbroker.cli.perf.schedule import Schedule, Steady, Step, Varying


def test_schedule_step_is_parsed_from_value_and_seconds():
    assert Step.parse("200:60", Number(0, 1000)) == Step(200, 60.0)
    assert Step.parse("0.5:1.5", Number(0.0, 1000)) == Step(0.5, 1.5)


@pytest.mark.parametrize("text", ["", "5", "5:", ":5", "a:5", "5:b", "1.5:5", "-1:5", "5:0", "5:-1", "5:inf", "5:nan"])
def test_invalid_steps_are_refused(text):
    with pytest.raises(ValueError, match=r"seconds|number from 0"):
        Step.parse(text, Number(0, 1000))


@pytest.mark.parametrize("text", ["nan:5", "inf:5"])
def test_infinite_rates_are_refused(text):
    with pytest.raises(ValueError, match="number from 0 to 1,000"):
        Step.parse(text, Number(0.0, 1000))


def test_steps_are_repeated():
    some = Schedule([Step(1, 2.0), Step(2, 3.0)])
    found = [some.at(elapsed_s) for elapsed_s in (0.0, 1.5, 2.0, 4.5, 5.0, 17.5)]
    assert found == [(0, 0, 0.0), (0, 0, 1.5), (0, 1, 0.0), (0, 1, 2.5), (1, 0, 0.0), (3, 1, 0.5)]


def steps(*pairs):
    return [Step(*pair) for pair in pairs]


def test_constant_rate_has_evenly_spaced_due_times():
    some = Steady(10.0)
    assert [some.due(elapsed_s) for elapsed_s in (0.0, 0.05, 0.1, 2.0)] == [1, 1, 2, 21]
    assert some.when(15) == 1.5
    assert some.times(15, 3) == [1.5, 1.6, 1.7]


def test_a_single_rate_is_constant():
    some, steady = Varying(steps((8.0, 1.0), (8.0, 0.5))), Steady(8.0)
    for number in range(100):
        assert some.when(number) == pytest.approx(steady.when(number))
        assert some.due(number / 16) == steady.due(number / 16)


def test_due_times_follow_rates_and_pauses():
    some = Varying(steps((2.0, 1.0), (0.0, 1.0), (4.0, 0.5)))
    assert some.times(0, 9) == [0.0, 0.5, 2.0, 2.25, 2.5, 3.0, 4.5, 4.75, 5.0]
    assert [some.due(elapsed_s) for elapsed_s in (0.0, 0.9, 1.0, 1.9, 2.0, 2.3, 2.5, 3.6, 7.5)] == [
        1,
        2,
        2,
        2,
        3,
        4,
        5,
        6,
        13,
    ]


def test_rates_may_begin_with_a_pause():
    some = Varying(steps((0.0, 5.0), (1.0, 1.0)))
    assert some.times(0, 2) == [5.0, 11.0]
    assert (some.due(0.0), some.due(4.9), some.due(5.0), some.due(10.0)) == (0, 0, 1, 1)


def test_due_messages_match_their_due_times():
    some = Varying(steps((3.0, 0.7), (0.0, 0.3), (11.0, 0.2)))
    for tick in range(2000):
        due = some.due(tick / 100)
        assert some.when(due - 1) <= tick / 100 + 1e-9
        assert some.when(due) > tick / 100 - 1e-9
