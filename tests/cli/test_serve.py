import json
import signal
import socket
import statistics
import subprocess
import sys
from pathlib import Path

import pika
import pytest
from pika.exceptions import ConnectionClosedByBroker

import amqpbroker
from amqpbroker.compiled import how_it_runs
from tests.process import ENVIRONMENT, PATIENCE_S, BrokerProcess
from tests.slowness import slowness


def failed_start(*arguments):
    """Return exit status and output of a start that fails."""
    command = [sys.executable, "-m", "amqpbroker", "serve", "--port", "0", "--in-memory", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=PATIENCE_S, check=False)
    assert ended.stdout == ""
    return ended.returncode, ended.stderr


def keep_signalling(broker):
    """Send signals until the broker has ended, slowly enough not to pile up. Return the exit status."""
    while True:
        broker.signal()
        try:
            return broker.process.wait(0.05)
        except subprocess.TimeoutExpired:
            pass


def own_start_s(broker):
    """Return the duration of the start, or its processor time if the process had to wait for the processor."""
    path = Path(f"/proc/{broker.process.pid}/schedstat")
    ran_s, waited_s = (int(word) / 1e9 for word in path.read_text().split()[:2]) if path.exists() else (0, 0)
    return broker.start_s if waited_s < broker.start_s / 10 else ran_s


@pytest.mark.alone
def test_broker_is_ready_in_under_300_ms(tmp_path):
    # The median is 0.14 to 0.19 s on the reference machine, so a third is left. There are three tries.
    medians = []
    for attempt in range(3):
        starts = []
        for number in range(5):
            directory = tmp_path / f"{attempt}-{number}"
            directory.mkdir()
            with BrokerProcess(directory) as broker:
                starts.append(own_start_s(broker))
        medians.append(statistics.median(starts))
        limit_s = 0.3 * slowness()
        if medians[-1] < limit_s:
            break
    assert medians[-1] < limit_s, medians


@pytest.mark.smoke
def test_the_ready_line_names_every_listener(tmp_path):
    with BrokerProcess(tmp_path, "--set", "listeners.tcp.other=0") as broker:
        ready = json.loads(broker.ready_file.read_text())
        ((host, port), (other_host, other_port)) = ready["amqp"]
        assert ready["pid"] == broker.process.pid
        line = (
            f"amqpbroker {amqpbroker.__version__} ({how_it_runs()}) ready:"
            f" amqp {host}:{port}, amqp {other_host}:{other_port},"
            f" http {ready['http'][0][0]}:{ready['http'][0][1]},"
            f" http/prometheus {ready['http/prometheus'][0][0]}:{ready['http/prometheus'][0][1]}\n"
        )
    assert broker.log == line
    assert not broker.ready_file.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_closes_connections_with_320(tmp_path, number):
    with BrokerProcess(tmp_path) as broker:
        connection = pika.BlockingConnection(pika.URLParameters(broker.url))
        channel = connection.channel()
        channel.queue_declare("", exclusive=True)
        broker.signal(number)
        with pytest.raises(ConnectionClosedByBroker) as closed:
            connection.process_data_events(PATIENCE_S)
        assert closed.value.reply_code == 320
        assert closed.value.reply_text == (
            "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"
        )
        assert broker.wait() == 0


def test_client_that_does_not_answer_does_not_delay_the_stop(tmp_path):
    with BrokerProcess(tmp_path) as broker, socket.create_connection(("127.0.0.1", broker.port)) as silent:
        silent.sendall(b"AMQP\x00\x00\x09\x01")
        assert silent.recv(3) == b"\x01\x00\x00"
        broker.signal()
        assert broker.wait() == 0


def test_a_second_signal_stops_the_broker_at_once(tmp_path):
    with BrokerProcess(tmp_path, in_order=False) as broker:
        connection = pika.BlockingConnection(pika.URLParameters(broker.url))  # will not answer connection.close
        broker.signal()
        assert keep_signalling(broker) == 1
        with pytest.raises((ConnectionClosedByBroker, pika.exceptions.AMQPConnectionError)):
            connection.process_data_events(PATIENCE_S)
    assert "Traceback" not in broker.log


def test_amqp_port_in_use_is_an_error_in_one_line(broker):
    status, output = failed_start("--port", str(broker.port))
    assert status == 1
    assert output == (
        f"Error: cannot listen on 127.0.0.1:{broker.port}: the port is in use, perhaps by another broker; stop that or"
        " choose another with --port\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "no-such-host.invalid"], "no address is known for that host"),
        (["--host", "192.0.2.1"], "this machine has no such address"),
        (["--host", "a b"], "listeners.tcp.default = a b: this must be PORT, HOST or HOST:PORT"),
        (["--set", "hearbeat=1"], "there is no setting hearbeat; did you mean heartbeat?"),
        (["--set", "heartbeat=often"], "heartbeat = often: this must be a whole number from 0 to 65535"),
        (["--ready-file", "/no/such/directory/ready"], "cannot write /no/such/directory/ready"),
    ],
)
def test_a_failed_start_prints_one_line(arguments, said):
    status, output = failed_start(*arguments)
    assert status == 1
    assert output.startswith("Error: ")
    assert said in output
    assert output.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "65536"], "'65536' is not a whole number from 0 to 65,535"),
        (["--set", "heartbeat"], "heartbeat is not of the form KEY=VALUE"),
        (["--data-dir", "data"], "--data-dir and --in-memory exclude each other"),
        (["--colour"], "No such option"),
    ],
)
def test_wrong_command_lines_are_refused_with_a_reason(arguments, said):
    status, output = failed_start(*arguments)
    assert status == 2
    assert said in output


def test_broker_accepts_connections_over_ipv6(tmp_path):
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    with BrokerProcess(tmp_path, "--host", "::1") as broker:
        pika.BlockingConnection(pika.ConnectionParameters("::1", broker.port)).close()
    assert "ready: amqp [::1]:" in broker.log


def test_the_log_has_the_line_that_testcontainers_waits_for(tmp_path):
    with BrokerProcess(tmp_path, "--log-level", "info") as broker:
        pika.BlockingConnection(pika.URLParameters(broker.url)).close()
    assert "[info] <0.0.0> Server startup complete; 0 plugins started.\n" in broker.log


@pytest.mark.parametrize("formatter", ["plaintext", "json"])
def test_passwords_are_not_logged(formatter, tmp_path):
    log = ("--log-level", "debug", "--set", f"log.console.formatter={formatter}")
    with BrokerProcess(tmp_path, *log, "--set", "default_pass=hush-hush") as broker:
        with pytest.raises(pika.exceptions.ProbableAuthenticationError):
            pika.BlockingConnection(pika.URLParameters(broker.url))
        url = broker.url.replace("guest@", "hush-hush@")
        pika.BlockingConnection(pika.URLParameters(url)).close()
    assert "hush-hush" not in broker.log
    assert "user 'guest' authenticated and granted access to vhost '/'" in broker.log


def test_settings_come_from_a_file(tmp_path):
    path = tmp_path / "rabbitmq.conf"
    path.write_text("raft.wal_max_entries = 5\nlog.file = broker.json\nlog.file.formatter = json\n")
    with BrokerProcess(tmp_path, "--config", str(path), "--set", f"log.dir={tmp_path}") as broker:
        assert f"[warning] <0.0.0> {path}:1: raft.wal_max_entries has no effect: " in broker.log
    first, *_ = (tmp_path / "broker.json").read_text().splitlines()
    assert json.loads(first)["level"] == "warning"


def test_unwritable_log_directory_fails_the_start_with_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    status, output = failed_start("--set", "log.file=a.log", "--set", f"log.dir={tmp_path}/file")
    assert status == 1
    assert output == f"Error: cannot log to {tmp_path}/file: File exists\n"


def test_an_invalid_pattern_of_a_user_stops_the_start_with_one_line(tmp_path):
    pattern = "(" * 7 + "a" + ")" * 7
    with (
        pytest.raises(AssertionError) as failed,
        BrokerProcess(tmp_path, "--set", f"default_users.x.configure={pattern}"),
    ):
        pass
    assert f"invalid regular expression '{pattern}': parentheses are too deeply nested" in str(failed.value)
    assert "Traceback" not in str(failed.value)
