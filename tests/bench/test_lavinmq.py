"""LavinMQ beside the others. A program that listens as configured replaces it in these tests."""

import configparser
import os
import socket
import sys

import pytest

from conformance.errors import SetupError
from tests.bench import brokers, lavinmq
from tests.certificates import Issued

ISSUED = Issued("/nowhere/server.pem", "/nowhere/server-key.pem")

LISTENING = """\
import configparser, socket, sys, time
file = configparser.ConfigParser()
file.read(sys.argv[1].removeprefix("--config="))
kept = [socket.create_server((file[name]["bind"], int(file[name]["port"]))) for name in ("amqp", "mgmt")]
time.sleep(60)
"""


def program(directory, text):
    path = directory / "lavinmq"
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return str(path)


def test_lavinmq_runs_on_its_own_ports_until_its_block_ends(tmp_path):
    with lavinmq.own_lavinmq(program(tmp_path, LISTENING), ISSUED) as started:
        socket.create_connection(("127.0.0.1", started.port)).close()
        os.kill(started.pid, 0)
        assert 0 < started.start_s < lavinmq.START_WITHIN_S
    with pytest.raises(ProcessLookupError):
        os.kill(started.pid, 0)


def test_configuration_has_no_common_ports_or_directories(tmp_path):
    file = configparser.ConfigParser()
    file.read_string(lavinmq.configuration(tmp_path, ISSUED, 1001, 1002, 1003))
    assert file["main"]["data_dir"].startswith(str(tmp_path))
    assert file["main"]["control_unix_path"].startswith(str(tmp_path))
    assert (file["amqp"]["bind"], file["mgmt"]["bind"]) == ("127.0.0.1", "127.0.0.1")
    assert (file["amqp"]["port"], file["amqp"]["tls_port"], file["mgmt"]["port"]) == ("1001", "1002", "1003")
    assert (file["mqtt"]["port"], file["mqtt"]["tls_port"], file["mgmt"]["tls_port"]) == ("-1", "-1", "-1")


@pytest.mark.parametrize(
    ("text", "said"),
    [("raise SystemExit('no such option')", "LavinMQ did not start:\nno such option"), (None, "cannot be run: ")],
)
def test_program_that_does_not_start_is_an_error(tmp_path, text, said):
    binary = program(tmp_path, text) if text else str(tmp_path / "missing")
    with pytest.raises(SetupError, match=said), lavinmq.own_lavinmq(binary, ISSUED):
        pass


def test_lavinmq_is_compared_only_if_its_binary_is_named(monkeypatch):
    monkeypatch.delenv("LAVINMQ", raising=False)
    assert list(brokers.compared()) == ["RabbitMQ", "amqpbroker"]
    monkeypatch.setenv("LAVINMQ", "/opt/lavinmq")
    assert list(brokers.compared()) == ["RabbitMQ", "amqpbroker", "LavinMQ"]
