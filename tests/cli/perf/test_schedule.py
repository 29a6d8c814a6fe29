import pytest

from amqpbroker.cli.number import Number
from amqpbroker.cli.perf.schedule import Schedule, Step


def test_a_step():
    assert Step.parse("200:60", Number(0, 1000)) == Step(200, 60.0)
    assert Step.parse("0.5:1.5", Number(0.0, 1000)) == Step(0.5, 1.5)


@pytest.mark.parametrize("text", ["", "5", "5:", ":5", "a:5", "5:b", "1.5:5", "-1:5", "5:0", "5:-1", "5:inf", "5:nan"])
def test_what_is_none(text):
    with pytest.raises(ValueError, match=r"seconds|number from 0"):
        Step.parse(text, Number(0, 1000))


@pytest.mark.parametrize("text", ["nan:5", "inf:5"])
def test_rates_are_finite(text):
    with pytest.raises(ValueError, match="number from 0 to 1,000"):
        Step.parse(text, Number(0.0, 1000))


def test_it_goes_round():
    some = Schedule([Step(1, 2.0), Step(2, 3.0)])
    found = [some.at(elapsed_s) for elapsed_s in (0.0, 1.5, 2.0, 4.5, 5.0, 17.5)]
    assert found == [(0, 0, 0.0), (0, 0, 1.5), (0, 1, 0.0), (0, 1, 2.5), (1, 0, 0.0), (3, 1, 0.5)]
