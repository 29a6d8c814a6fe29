import json
import os
import signal
import stat
import subprocess
import sys
import time
from itertools import islice

import pika
import pytest

from tests.process import ENVIRONMENT, PATIENCE_S, BrokerProcess


class Machine:
    """Starts brokers on one data directory, each with a directory of its own for its log."""

    def __init__(self, tmp_path):
        self._tmp_path = tmp_path
        self._starts = 0
        self.data = tmp_path / "data"

    def start(self, *arguments, in_order=True):
        self._starts += 1
        directory = self._tmp_path / str(self._starts)
        directory.mkdir()
        return BrokerProcess(directory, "--data-dir", str(self.data), *arguments, in_order=in_order)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def connected(broker, user="guest", password="guest"):
    credentials = pika.PlainCredentials(user, password)
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", broker.port, credentials=credentials))


def kill(broker):
    broker.signal(signal.SIGKILL)
    assert broker.wait() == -signal.SIGKILL


def serve(*arguments, **environment):
    """(exit status, output) of a broker that is to fail at its start."""
    command = [sys.executable, "-m", "amqpbroker", "serve", "--port", "0", *arguments]
    environment = {**ENVIRONMENT, **environment}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=PATIENCE_S, check=False)
    return ended.returncode, ended.stderr


def test_durable_declarations_survive_a_kill(machine):
    new_user = ("--set", "default_users.ann.password=s3cret", "--set", "default_users.ann.tags=management")
    with machine.start(*new_user, in_order=False) as broker:
        connection = connected(broker)
        channel = connection.channel()
        arguments = {"x-dead-letter-exchange": "dead", "x-max-priority": 5}
        channel.queue_declare("q", durable=True, arguments=arguments)
        channel.queue_declare("transient")
        channel.exchange_declare("x", "topic", durable=True, arguments={"alternate-exchange": "dead"})
        channel.exchange_declare("dead", "fanout", durable=True)
        channel.exchange_bind("dead", "x", "#.dead")
        channel.queue_bind("q", "x", "a.*", arguments={"k": [1, "two", None]})
        channel.queue_declare("last", durable=True)
        kill(broker)
        with pytest.raises(pika.exceptions.AMQPError):
            connection.process_data_events(10)

    with machine.start() as broker, connected(broker, "ann", "s3cret") as connection:
        channel = connection.channel()
        for exchange in ("x", "dead"):
            channel.exchange_declare(exchange, passive=True)
        channel.queue_declare("last", passive=True)
        channel.queue_declare("q", durable=True, arguments=arguments)  # 406 if it were another
        channel.basic_publish("x", "a.b", b"hello")
        (_, _, body) = channel.basic_get("q", auto_ack=True)
        assert body == b"hello"
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="no queue 'transient'"):
            channel.queue_declare("transient", passive=True)
        channel = connection.channel()
        channel.queue_unbind("q", "x", "a.*", arguments={"k": [1, "two", None]})
        channel.queue_delete("last")

    with machine.start() as broker, connected(broker) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="no queue 'last'"):
            channel.queue_declare("last", passive=True)
        channel = connection.channel()
        channel.confirm_delivery()
        with pytest.raises(pika.exceptions.UnroutableError):
            channel.basic_publish("x", "a.b", b"nobody listens", mandatory=True)


def test_held_messages_survive_a_kill_and_keep_their_due_time(machine):
    with machine.start(in_order=False) as broker:
        connection = connected(broker)
        channel = connection.channel()
        channel.exchange_declare("late", "x-delayed-message", durable=True, arguments={"x-delayed-type": "fanout"})
        channel.queue_declare("q", durable=True)
        channel.queue_bind("q", "late")
        channel.confirm_delivery()
        sent = time.time()
        for delay_ms, body in ((2000, b"later"), (1, b"overdue")):
            properties = pika.BasicProperties(delivery_mode=2, headers={"x-delay": delay_ms})
            channel.basic_publish("late", "", body, properties, mandatory=True)
        kill(broker)
        with pytest.raises(pika.exceptions.AMQPError):
            connection.process_data_events(10)

    with machine.start() as broker, connected(broker) as connection:
        channel = connection.channel()
        received = []
        for method, properties, body in islice(channel.consume("q", inactivity_timeout=PATIENCE_S), 2):
            received.append((body, properties.headers["x-delay"]))
            channel.basic_ack(method.delivery_tag)
        assert time.time() - sent >= 1.999
        assert received == [(b"overdue", -1), (b"later", -2000)]
        # The overdue message may have been in the queue before the kill: then it is redelivered.
        assert not method.redelivered

    with machine.start() as broker, connected(broker) as connection:
        assert connection.channel().queue_declare("q", passive=True).method.message_count == 0


def test_second_broker_on_a_data_directory_is_refused(machine):
    with machine.start() as broker:
        status, output = serve("--data-dir", str(machine.data))
        assert status == 1
        assert output == (
            f"Error: {machine.data} belongs to a running broker (pid {broker.process.pid}); stop it, or choose another"
            " directory with --data-dir\n"
        )
        connected(broker).close()


def test_data_directory_is_accessible_only_by_its_owner(machine):
    with machine.start():
        assert stat.S_IMODE(machine.data.stat().st_mode) == 0o700
        assert (machine.data / "version").read_text() == "2\n"


def test_clean_stop_leaves_one_definitions_file(machine):
    with machine.start() as broker, connected(broker) as connection:
        connection.channel().queue_declare("q", durable=True)
    assert [path.name for path in machine.data.glob("definitions*")] == ["definitions.sqlite"]


def test_default_data_directory_is_in_the_home_of_the_user(tmp_path):
    ready = tmp_path / "ready.json"
    home = tmp_path / "home"
    environment = {**ENVIRONMENT, "HOME": str(home), "XDG_DATA_HOME": str(home)}
    command = [sys.executable, "-m", "amqpbroker", "serve", "--port", "0", "--ready-file", str(ready)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as broker:
        for line in broker.stdout:
            if b" ready: " in line:
                break
        assert json.loads(ready.read_text())["pid"] == broker.pid
        (lock,) = home.rglob("lock")
        assert lock.parent.name == "amqpbroker"
        assert lock.read_text() == f"{broker.pid}\n"
        broker.terminate()
        broker.stdout.read()
        assert broker.wait(PATIENCE_S) == 0


def test_in_memory_broker_creates_no_data_directory(tmp_path):
    environment = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
    status, output = serve("--in-memory", "--host", "no-such-host.invalid", **environment)
    assert status == 1, output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda data: data.symlink_to(data), "cannot use {data} for data: "),
        (lambda data: (data.mkdir(), (data / "version").write_text("3\n")), "{data} has format 3, of a newer"),
        (
            lambda data: (
                data.mkdir(),
                (data / "version").write_text("1\n"),
                (data / "definitions.sqlite").write_bytes(os.urandom(8192)),
            ),
            "{data}/definitions.sqlite: file is not a database",
        ),
    ],
    ids=["unusable", "newer", "damaged"],
)
def test_unusable_data_directory_is_an_error_in_one_line(machine, spoil, said):
    spoil(machine.data)
    status, output = serve("--data-dir", str(machine.data))
    assert status == 1
    assert output.startswith("Error: " + said.format(data=machine.data))
    assert output.count("\n") == 1
