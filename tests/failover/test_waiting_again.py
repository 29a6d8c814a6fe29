"""A broker whose database fails before it serves waits again, in the same process."""

import errno
import logging
from dataclasses import replace

import pytest

from amqpbroker.config import Config, Listener, Management, Prometheus
from amqpbroker.server import app
from amqpbroker.server.data import StoreError
from amqpbroker.store.log import UnwrittenError


class Starts:
    """Makes servers, the first ones without success. The first that starts is stopped at once."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.made = 0

    def __call__(self, config, loop, storage, settings):
        if self.errors:
            raise self.errors.pop(0)
        self.made += 1
        server = app.make_server(config, loop, storage, settings)
        loop.call_later(0.1, server.stop)
        return server


def unreadable() -> StoreError:
    error = StoreError("messages cannot be read")
    error.__cause__ = UnwrittenError(errno.EIO, "no answer")
    return error


@pytest.fixture
def config(server, tmp_path):
    server.primary.execute("DROP SCHEMA IF EXISTS amqpbroker CASCADE")
    url = server.primary.url
    listener = Listener("127.0.0.1", 0)
    given = Config(listeners=(listener,), store_url=url, data_dir=str(tmp_path), store_address="127.0.0.1:0")
    return replace(given, management=Management(port=None), prometheus=Prometheus(port=None))


def test_a_broker_waits_again_while_the_database_fails(config, caplog):
    starts = Starts(UnwrittenError(errno.EIO, "no answer"), unreadable())
    with caplog.at_level(logging.WARNING):
        assert app.run(config, lambda _: None, {}, starts) == 0
    assert starts.made == 1
    assert [text for text in caplog.messages if "waits again" in text] == [
        "[Errno 5] no answer; this broker waits again",
        "messages cannot be read; this broker waits again",
    ]


def test_a_broker_ends_with_an_error_that_does_not_end_by_itself(config):
    starts = Starts(StoreError("a segment is damaged"))
    with pytest.raises(StoreError, match="damaged"):
        app.run(config, lambda _: None, {}, starts)
    assert not starts.made


def test_a_broker_that_is_told_to_stop_meanwhile_ends(config):
    def make(config, loop, storage, settings):
        # As when the signal comes while messages are read.
        stopping[0].stop()
        raise unreadable()

    stopping = []
    made = app._database

    def remembered(config, process):
        stopping.append(made(config, process))
        return stopping[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "_database", remembered)
        assert app.run(config, lambda _: None, {}, make) == 0
    assert len(stopping) == 1
