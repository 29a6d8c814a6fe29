import signal

import pytest

from amqpbroker.cli.signals import ending


@pytest.mark.parametrize(("handler", "heeded"), [(signal.SIG_DFL, True), (signal.SIG_IGN, False)])
def test_signals_that_nohup_ignores_stay_ignored(handler, heeded):
    before = signal.signal(signal.SIGHUP, handler)
    try:
        assert (signal.SIGHUP in ending()) is heeded
    finally:
        signal.signal(signal.SIGHUP, before)
    assert {signal.SIGINT, signal.SIGTERM} <= set(ending())
