"""The start of a server."""

import gc
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
        threshold = gc.get_threshold()
        assert app.run(Config(), lambda _: None, {}) == 7
        gc.set_threshold(*threshold)
    (line,) = caplog.messages
    assert line.startswith(f"amqpbroker {__version__} (")
    assert line.endswith(", compatible with RabbitMQ 4.0.5")


@pytest.mark.skipif(not hasattr(gc, "set_threshold"), reason="PyPy counts no references")
def test_garbage_is_collected_rarely_while_the_store_is_read(monkeypatch: pytest.MonkeyPatch):
    async def served(*_: object) -> int:
        return gc.get_threshold()[0]

    monkeypatch.setattr(app, "_serve", served)
    before = gc.get_threshold()
    try:
        assert app.run(Config(), lambda _: None, {}) >= 100_000
    finally:
        gc.set_threshold(*before)
