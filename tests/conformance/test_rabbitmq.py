"""A node that is started, killed and started again: a program in RabbitMQ's place that listens where it is told."""

import os
import resource
import socket
import sys

import pytest

from conformance import rabbitmq
from conformance.errors import SetupError

LISTENING = """\
import os, re, socket, time
config = open(os.environ["RABBITMQ_CONFIG_FILE"] + ".conf").read()
management = re.search("management.tcp.port = ([0-9]+)", config).group(1)
ports = (os.environ["RABBITMQ_NODE_PORT"], management)
open(os.environ["RABBITMQ_PID_FILE"], "w").write(str(os.getpid()))
open(os.environ["RABBITMQ_LOG_BASE"], "a").write("started ")
kept = [socket.create_server(("127.0.0.1", int(port))) for port in ports]
time.sleep(60)
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    path = tmp_path / "rabbitmq-server"
    path.write_text(f"#!{sys.executable}\n{LISTENING}")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return path


def is_listening(node):
    with socket.socket() as probe:
        return probe.connect_ex((node.target.host, node.target.port)) == 0


@pytest.mark.usefixtures("program")
def test_a_killed_node_is_started_again_with_its_data():
    with rabbitmq.own_node(settings="log.console = true\n") as node:
        base = node._base
        for count in (1, 2):
            node.start()
            assert is_listening(node)
            assert (base / "log").read_text() == "started " * count
            node.kill()
            assert not is_listening(node)
        node.start()
    assert not is_listening(node)
    assert not base.exists()


@pytest.mark.usefixtures("program")
def test_started_rabbitmq_node_is_reachable_until_its_block_ends():
    with rabbitmq.own_rabbitmq() as target:
        assert target.management_url.startswith("http://guest:guest@127.0.0.1:")
        socket.create_connection((target.host, target.port)).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((target.host, target.port))


def test_rabbitmq_node_that_does_not_start_is_an_error(program):
    program.write_text("#!/bin/sh\necho no erlang\n")
    with pytest.raises(SetupError, match="RabbitMQ did not start:\nno erlang"), rabbitmq.own_rabbitmq():
        pass


@pytest.mark.usefixtures("program")
def test_rabbitmq_node_that_was_never_started_can_be_stopped():
    with rabbitmq.own_node() as node:
        node.kill()
        node.stop()


def test_a_node_may_have_as_many_files_open_as_its_package_allows(program, tmp_path):
    told = tmp_path / "limit"
    # The start script changes the user, which sets the limit back, and then reads the file of the environment.
    program.write_text(
        "#!/bin/sh\nulimit -S -n 128\n"
        f'if [ -f "$RABBITMQ_CONF_ENV_FILE" ]; then . "$RABBITMQ_CONF_ENV_FILE"; fi\nulimit -n > {told}\n'
    )
    with pytest.raises(SetupError, match="did not start"), rabbitmq.own_rabbitmq():
        pass
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = rabbitmq.OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, rabbitmq.OPEN_FILES)
    assert int(told.read_text()) == most > 128
