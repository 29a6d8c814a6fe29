import logging

import pytest

from amqpbroker.amqp.steps import take_all


def test_steps_follow_one_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    taken = []

    def fail() -> None:
        raise LookupError("wrong")

    with caplog.at_level(logging.ERROR):
        take_all([lambda: taken.append(1), fail, lambda: taken.append(2), fail], "a channel")
    assert taken == [1, 2]
    assert [record.getMessage() for record in caplog.records] == ["internal error while closing a channel"] * 2
    assert "LookupError: wrong" in caplog.text


def test_steps_follow_one_that_cannot_even_be_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def fail(*_: object) -> None:
        raise LookupError

    monkeypatch.setattr(logging.Logger, "exception", fail)
    take_all([fail, lambda: taken.append(1)], "a channel")
    assert taken == [1]
