"""The broker process of a client: one that does not start, or does not end well, is told of."""

from __future__ import annotations

import sys

import pytest

from interop.broker import AmqpBroker, BrokerError


def broker_that(does: str) -> AmqpBroker:
    """A stand-in for the command `amqpbroker`: with its arguments, and `ready()` to write the ready file."""
    ready = (
        "import json, sys\n"
        "def ready():\n"
        "    ports = dict.fromkeys(['amqp', 'http'], [['127.0.0.1', 5]])\n"
        "    open(sys.argv[sys.argv.index('--ready-file') + 1], 'w').write(json.dumps(ports))\n"
    )
    return AmqpBroker([sys.executable, "-c", ready + does])


def test_the_port_is_read_from_the_ready_file_and_kept_for_a_restart() -> None:
    broker = AmqpBroker()
    try:
        broker.start()
        port = broker.port
        broker.restart()
        broker.stop()
    finally:
        broker.close()

    assert broker.port == port != 0
    assert broker.url == f"amqp://guest:guest@127.0.0.1:{port}/"
    assert not broker.directory.exists()


def test_error_of_a_broker_that_exits_at_start_shows_its_output() -> None:
    broker = broker_that("raise SystemExit('port taken')")
    try:
        with pytest.raises(BrokerError, match="exited with 1 at start: port taken"):
            broker.start()
    finally:
        broker.close()


def test_broker_command_that_does_not_exist_is_an_error() -> None:
    broker = AmqpBroker(["no-such-program-anywhere"])
    try:
        with pytest.raises(BrokerError, match="cannot start no-such-program-anywhere"):
            broker.start()
        assert broker.version == "amqpbroker of unknown version"
    finally:
        broker.close()


@pytest.mark.parametrize(
    ("at_the_end", "told"),
    [
        ("sys.exit(3)", "exited with 3"),
        ("traceback.print_exc(); sys.exit(0)", "logged a traceback"),
    ],
)
def test_broker_that_does_not_stop_cleanly_is_an_error(at_the_end: str, told: str) -> None:
    broker = broker_that(
        "import signal, sys, traceback\n"
        "def end(*_):\n"
        "    try: 1 / 0\n"
        f"    except ZeroDivisionError: {at_the_end}\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "ready()\n"
        "signal.pause()\n"
    )
    try:
        broker.start()
        with pytest.raises(BrokerError, match=told):
            broker.stop()
    finally:
        broker.close()
