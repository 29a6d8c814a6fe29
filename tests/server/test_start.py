"""The start of a server."""

import logging

import pytest

from amqpbroker import __version__
from amqpbroker.config import Config
from amqpbroker.server import app


def test_the_log_begins_with_our_version_and_the_one_of_rabbitmq(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    async def served(*_: object) -> int:
        return 7

    monkeypatch.setattr(app, "_serve", served)
    with caplog.at_level(logging.INFO, "amqpbroker.server.app"):
        assert app.run(Config(), lambda _: None, {}) == 7
    (line,) = caplog.messages
    assert line.startswith(f"amqpbroker {__version__} (")
    assert line.endswith(", compatible with RabbitMQ 4.0.5")
