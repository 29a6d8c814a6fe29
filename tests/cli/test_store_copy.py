"""`amqpbroker store copy` between a data directory and a database, with brokers before and after."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing

import pika
import pika.exceptions
import psycopg
import pytest
from click.testing import CliRunner

from amqpbroker.cli.main import main
from amqpbroker.store.database import schema
from amqpbroker.store.database.session import Session
from tests.process import ENVIRONMENT, PATIENCE_S, BrokerProcess

VHOSTS = ("/", "one", "two")
PERSISTENT = pika.BasicProperties(delivery_mode=2)
STREAM = {"x-queue-type": "stream"}


def invoked(*arguments):
    return CliRunner().invoke(main, ["store", *map(str, arguments)])


def serving(tmp_path, *arguments):
    settings = ("--set", "store.lease=1500ms") if "--store" in arguments else ()
    return BrokerProcess(tmp_path, "--management-port", "0", *arguments, *settings)


def shared(tmp_path, database):
    place = tmp_path / "local"
    return serving(tmp_path, "--store", database, "--data-dir", str(place))


def api(broker, path, method="GET", body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{broker.port_of('http')}/api/{path}", data, method=method)
    request.add_header("authorization", "Basic Z3Vlc3Q6Z3Vlc3Q=")
    with urllib.request.urlopen(request, timeout=20) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def channel_of(broker, vhost):
    """Return a channel in a vhost, which a broker may begin to serve only now."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", broker.port, vhost)).channel()
        except pika.exceptions.AMQPConnectionError:
            assert time.monotonic() < end
            time.sleep(0.1)


def use(broker):
    """Leave messages, some of them delivered before, in queues and streams of all vhosts."""
    for vhost in VHOSTS[1:]:
        api(broker, f"vhosts/{vhost}", "PUT", {})
    for vhost in VHOSTS:
        channel = channel_of(broker, vhost)
        channel.confirm_delivery()
        channel.queue_declare("gone", durable=True)
        channel.queue_delete("gone")
        channel.queue_declare("q", durable=True, arguments={"x-max-priority": 3})
        channel.queue_declare("s", durable=True, arguments=STREAM)
        channel.exchange_declare("x", "topic", durable=True)
        channel.queue_bind("q", "x", "a.#", {"number": 1})
        for number in range(50):
            body = f"{vhost} {number}".encode()
            channel.basic_publish("x", "a.b", body, pika.BasicProperties(delivery_mode=2, priority=number % 3))
            channel.basic_publish("", "s", body, PERSISTENT)
        for _ in range(5):
            channel.basic_ack(channel.basic_get("q")[0].delivery_tag)
        channel.basic_nack(channel.basic_get("q")[0].delivery_tag)
        channel.connection.close()


def definitions_of(broker):
    """Return what the management API exports, when all vhosts are served."""
    end = time.monotonic() + PATIENCE_S
    found = {"queues": []}
    while {queue["vhost"] for queue in found["queues"]} != {*VHOSTS}:
        assert time.monotonic() < end, found
        try:
            found = api(broker, "definitions")
        except urllib.error.HTTPError as error:
            # A vhost may have no leader yet.
            if error.code != 503:
                raise
        time.sleep(0.1)
    names = ("vhost", "name", "source", "destination", "user")
    return {
        kind: sorted(value, key=lambda each: [str(each.get(name)) for name in names])
        for kind, value in found.items()
        if isinstance(value, list)
    }


def messages_of(broker):
    """Return the messages of all queues and streams. They stay there."""
    return {vhost: (_waiting(broker, vhost), _streamed(broker, vhost)) for vhost in VHOSTS}


def _waiting(broker, vhost):
    channel = channel_of(broker, vhost)
    found = []
    while (got := channel.basic_get("q"))[0] is not None:
        found.append((got[2], got[1].priority, len(found) or got[0].redelivered))
    channel.connection.close()
    return found


def _streamed(broker, vhost):
    channel = channel_of(broker, vhost)
    channel.basic_qos(prefetch_count=50)
    found = []
    for method, properties, body in channel.consume("s", arguments={"x-stream-offset": "first"}):
        found.append((properties.headers["x-stream-offset"], body))
        channel.basic_ack(method.delivery_tag)
        if len(found) == 50:
            break
    channel.connection.close()
    return found


def test_brokers_go_on_with_the_copies(tmp_path, database):
    directory, back = tmp_path / "data", tmp_path / "back"
    with serving(tmp_path, "--data-dir", str(directory)) as broker:
        use(broker)
        exported, messages = definitions_of(broker), messages_of(broker)
    done = invoked("copy", directory, database)
    assert done.exit_code == 0, done.output
    assert "135 messages and 3 segments of streams" in done.output
    with shared(tmp_path, database) as broker:
        assert definitions_of(broker) == exported
        assert messages_of(broker) == messages
        refused = invoked("copy", database, back)
        assert refused.exit_code == 1
        assert "a running broker" in refused.output
        assert "uses the database; stop all brokers that use it first" in refused.output
        assert not back.exists()
    again = invoked("copy", database, back)
    assert (again.exit_code, again.output) == (0, done.output)
    assert "errors: 0" in invoked("check", back).output
    with serving(tmp_path, "--data-dir", str(back)) as broker:
        assert definitions_of(broker) == exported
        assert messages_of(broker) == messages


def test_a_database_is_refused_after_a_copy_that_was_killed(tmp_path, database):
    directory = tmp_path / "data"
    with serving(tmp_path, "--data-dir", str(directory)):
        pass
    with closing(Session(database, "test", 10)) as tables, psycopg.connect(database) as blocking:
        schema.make_tables(tables)
        # The last transaction waits for this one.
        blocking.execute("LOCK TABLE amqpbroker.vhost_log IN EXCLUSIVE MODE")
        command = [sys.executable, "-m", "amqpbroker", "store", "copy", str(directory), database]
        with subprocess.Popen(command, env=ENVIRONMENT) as process:
            end = time.monotonic() + PATIENCE_S
            while not (waiting := tables.run(waiting_for_locks)):
                assert time.monotonic() < end
                time.sleep(0.05)
            process.kill()
        tables.run(lambda connection: connection.execute("SELECT pg_terminate_backend(%s)", waiting[0]))
        blocking.rollback()
    refused = "the database has an incomplete copy of a store"
    with pytest.raises(AssertionError, match=refused), shared(tmp_path, database):
        pass
    again = invoked("copy", directory, database)
    assert (again.exit_code, refused in again.output) == (1, True)


def waiting_for_locks(connection):
    return connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        " AND application_name LIKE '%copy'"
    ).fetchall()


def test_a_store_that_is_not_empty_is_not_overwritten(tmp_path, database):
    directory = tmp_path / "data"
    with serving(tmp_path, "--data-dir", str(directory)):
        pass
    assert invoked("copy", directory, database).exit_code == 0
    for source, target in ((directory, database), (database, directory)):
        again = invoked("copy", source, target)
        assert again.exit_code == 1
        assert "is not empty: name an empty database, or a directory that does not exist" in again.output


def test_a_directory_that_a_broker_uses_is_not_copied(tmp_path, database):
    with serving(tmp_path, "--data-dir", str(tmp_path / "data")):
        refused = invoked("copy", tmp_path / "data", database)
    assert (refused.exit_code, "belongs to a running broker" in refused.output) == (1, True)


def test_what_is_not_a_store_is_refused(tmp_path, postgresql):
    refused = invoked("copy", tmp_path, postgresql.url_of("missing"))
    assert (refused.exit_code, "is not a data directory of amqpbroker" in refused.output) == (1, True)
    refused = invoked("copy", postgresql.url_of("missing"), tmp_path / "new")
    assert (refused.exit_code, 'database "missing" does not exist' in refused.output) == (1, True)
    assert not (tmp_path / "new").exists()


def test_an_empty_database_is_not_copied_and_stays_empty(tmp_path, database):
    refused = invoked("copy", database, tmp_path / "new")
    assert refused.exit_code == 1
    assert refused.output.endswith(f"/{database.rpartition('/')[2]} is not a database of amqpbroker\n")
    assert not (tmp_path / "new").exists()
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'amqpbroker'").fetchall() == []


@pytest.mark.parametrize("arguments", [("data", "postgresql://u@h/d"), ("postgresql://u@h/d", "data")])
def test_without_the_library_of_the_database_the_error_says_what_to_install(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    with serving(tmp_path, "--data-dir", "data"):
        pass
    monkeypatch.setitem(sys.modules, "psycopg", None)
    refused = invoked("copy", *arguments)
    assert refused.exit_code == 1
    assert "install it with `pip install amqpbroker[postgresql]`" in refused.output
