import socket
import threading

import pytest
from click.testing import CliRunner

from amqpbroker.cli.main import main


def ping(*arguments, **environ):
    """Return exit status and output of `amqpbroker ping`."""
    arguments = ("--timeout", "60", *arguments)
    result = CliRunner(env={"RABBITMQ_NODE_PORT": None} | environ).invoke(main, ["ping", *arguments])
    return result.exit_code, result.output


@pytest.fixture
def answering():
    """Return a function that starts a server which answers each client with the given bytes, and returns its port."""
    listening, threads = [], []

    def start(answer, hold=False):
        server = socket.create_server(("127.0.0.1", 0))
        listening.append(server)
        held = threading.Event()

        def serve():
            client, _ = server.accept()
            with client:
                client.recv(8)
                client.sendall(answer)
                if hold:
                    held.wait()

        threads.append((threading.Thread(target=serve), held))
        threads[-1][0].start()
        return str(server.getsockname()[1])

    yield start
    for thread, held in threads:
        held.set()
        thread.join()
    for server in listening:
        server.close()


def test_ping_succeeds_if_a_broker_answers(broker):
    status, output = ping("--port", str(broker.port))
    assert status == 0
    assert output.startswith(f"127.0.0.1:{broker.port} answers (")


def test_ping_accepts_a_url(broker):
    assert ping("--url", f"amqp://user:secret@localhost:{broker.port}/vhost")[0] == 0


def test_ping_uses_the_port_in_the_environment(broker):
    assert ping(RABBITMQ_NODE_PORT=str(broker.port))[0] == 0


def test_refused_connection_is_reported():
    with socket.socket() as taken:  # by one that does not listen, so that nobody else does
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert ping("--port", str(port)) == (1, f"127.0.0.1:{port}: connection refused\n")


def test_ping_fails_for_an_unknown_host():
    status, output = ping("--host", "no-such-host.invalid")
    assert status == 1
    assert output.startswith("no-such-host.invalid:5672: ")


def test_ping_fails_if_the_server_does_not_speak_amqp(answering):
    port = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert ping("--port", port) == (1, f"127.0.0.1:{port}: answers, but not with AMQP 0-9-1\n")


def test_ping_fails_if_the_server_speaks_another_amqp_version(answering):
    port = answering(b"AMQP\x00\x01\x00\x00")
    assert ping("--port", port) == (1, f"127.0.0.1:{port}: answers, but not with AMQP 0-9-1\n")


def test_ping_fails_if_the_server_closes_without_an_answer(answering):
    port = answering(b"")
    assert ping("--port", port) == (1, f"127.0.0.1:{port}: closed the connection without an answer\n")


def test_ping_times_out_without_an_answer(answering):
    port = answering(b"\x01\x00", hold=True)
    assert ping("--port", port, "--timeout", "0.05") == (1, f"127.0.0.1:{port}: no answer within 0.05 s\n")


@pytest.mark.parametrize("url", ["http://localhost", "localhost", "amqp://localhost:many", "amqps://localhost"])
def test_an_invalid_url_is_refused(url):
    status, output = ping("--url", url)
    assert status == 2
    assert "must be of the form amqp://HOST[:PORT]" in output
