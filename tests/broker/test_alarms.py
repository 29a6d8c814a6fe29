import logging

import pytest

from amqpbroker.broker.alarms import Alarms


class Watcher:
    """Records the alarms at each change."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.alarms = Alarms("me@here", lambda: self.reasons.append(self.alarms.reason))


def test_blocked_reason_names_resources_in_alphabetical_order() -> None:
    watcher = Watcher()
    watcher.alarms.set("memory")
    watcher.alarms.set("disk")
    watcher.alarms.clear("memory")
    watcher.alarms.clear("disk")
    assert watcher.reasons == ["low on memory", "low on disk & memory", "low on disk", ""]


def test_only_changed_alarms_are_reported() -> None:
    watcher = Watcher()
    watcher.alarms.clear("disk")
    watcher.alarms.set("disk")
    watcher.alarms.set("disk")
    watcher.alarms.clear("memory")
    assert watcher.reasons == ["low on disk"]


def test_setting_and_clearing_an_alarm_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    alarms = Watcher().alarms
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            alarms.set("memory")
        for _ in range(2):
            alarms.clear("memory")
    begun, ended = caplog.records
    assert begun.levelno == ended.levelno == logging.WARNING
    assert begun.getMessage().startswith("memory resource limit alarm set on node me@here.\n")
    assert "Publishers will be blocked until this alarm clears" in begun.getMessage()
    assert ended.getMessage() == "memory resource limit alarm cleared on node me@here"
