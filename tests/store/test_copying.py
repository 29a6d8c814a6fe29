"""A data directory that is copied into a database and back."""

from pathlib import Path

import pika
import pytest
from click.testing import CliRunner

from amqpbroker.cli.main import main
from tests.postgresql import PostgreSQL
from tests.process import BrokerProcess
from tests.store.database.opening import Opened


def invoked(*arguments):
    return CliRunner().invoke(main, ["store", *map(str, arguments)])


@pytest.fixture
def directory(tmp_path):
    """A data directory with messages in a queue and a stream, and a third queue that was deleted."""
    path = tmp_path / "data"
    with BrokerProcess(tmp_path, "--data-dir", str(path)) as broker:
        connection = pika.BlockingConnection(pika.URLParameters(broker.url))
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("q", durable=True)
        channel.queue_declare("s", durable=True, arguments={"x-queue-type": "stream"})
        for number in range(500):
            for queue in ("q", "s"):
                channel.basic_publish("", queue, b"%d" % number * 100, pika.BasicProperties(delivery_mode=2))
        for _ in range(10):
            channel.basic_ack(channel.basic_get("q")[0].delivery_tag)
        channel.queue_declare("gone", durable=True)
        channel.queue_delete("gone")
        connection.close()
    return path


def test_a_store_that_is_copied_to_a_database_and_back_is_the_same(directory, database, tmp_path):
    before = invoked("check", directory)
    assert "errors: 0" in before.output
    done = invoked("copy", directory, database)
    assert done.exit_code == 0, done.output
    copied = tmp_path / "copied"
    back = invoked("copy", database, copied)
    assert (back.exit_code, back.output) == (0, done.output)
    assert invoked("check", copied).output == before.output
    assert invoked("dump", copied).output == invoked("dump", directory).output
    for part in ("journal", "streams"):
        files = sorted(path.name for path in (directory / part).iterdir())
        assert files
        for name in files:
            assert (copied / part / name).read_bytes() == (directory / part / name).read_bytes()


def test_an_id_is_not_used_again_after_a_copy(directory, database):
    assert invoked("copy", directory, database).exit_code == 0
    opened = Opened(database)
    # The ids 1 to 3 belong to q, s and the queue that was deleted.
    assert opened.definitions.new_id() == 4
    opened.close()


def test_a_store_that_is_not_empty_is_not_overwritten(directory, database, tmp_path):
    assert invoked("copy", directory, database).exit_code == 0
    again = invoked("copy", directory, database)
    assert again.exit_code == 1
    assert "is not empty: name an empty database, or a directory that does not exist" in again.output
    again = invoked("copy", database, directory)
    assert (again.exit_code, f"{directory} is not empty" in again.output) == (1, True)


def test_a_store_that_a_broker_uses_is_not_copied(directory, tmp_path, database):
    with BrokerProcess(tmp_path, "--data-dir", str(directory)):
        refused = invoked("copy", directory, database)
    assert (refused.exit_code, "belongs to a running broker" in refused.output) == (1, True)
    opened = Opened(database, lease_s=60.0)
    refused = invoked("copy", directory, database)
    opened.close()
    assert refused.exit_code == 1
    assert "a running broker (broker at 127.0.0.1:5672) uses the database; stop all brokers" in refused.output


def test_what_is_not_a_store_is_refused(tmp_path, postgresql: PostgreSQL):
    refused = invoked("copy", tmp_path, postgresql.url_of("missing"))
    assert (refused.exit_code, "is not a data directory of amqpbroker" in refused.output) == (1, True)
    refused = invoked("copy", postgresql.url_of("missing"), tmp_path / "new")
    assert (refused.exit_code, 'database "missing" does not exist' in refused.output) == (1, True)
    assert not Path(tmp_path / "new" / "journal").exists()
