import json
import subprocess
import sys
from pathlib import Path

import pika
import pytest

from tests.process import ENVIRONMENT, PATIENCE_S, BrokerProcess

FROM_RABBITMQ = Path(__file__).parent.parent / "management" / "definitions" / "rabbitmq-4.0.5.json"


def connected(broker, user, password, vhost):
    credentials = pika.PlainCredentials(user, password)
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", broker.port, vhost, credentials))


def test_definitions_exported_by_rabbitmq_are_imported_before_clients_connect(tmp_path):
    with (
        BrokerProcess(tmp_path, "--definitions", str(FROM_RABBITMQ)) as broker,
        connected(broker, "ann", "s3cret", "orders") as connection,
    ):
        channel = connection.channel()
        channel.basic_publish("events", "order.1.new", b"x")
        assert channel.basic_get("in.quorum", auto_ack=True)[2] == b"x"


def test_default_user_and_imported_definitions_survive_a_restart(tmp_path):
    own = ("--set", "default_user=boss", "--set", "default_pass=pw")
    kept = ("--data-dir", str(tmp_path / "data"))
    with BrokerProcess(tmp_path, *own, *kept, "--definitions", str(FROM_RABBITMQ)) as broker:
        connected(broker, "boss", "pw", "/").close()
    with BrokerProcess(tmp_path, *kept) as broker:
        connected(broker, "boss", "pw", "/").close()
        connected(broker, "ann", "s3cret", "orders").close()


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"queues": [{"vhost": "nope", "name": "q"}]}, 'queues[0]: Please create virtual host "nope"'),
        (
            {"policies": [{"vhost": "/", "name": "p", "pattern": "", "definition": None}]},
            "policies[0]: Validation failed definition should be a map, actually was null (//p)",
        ),
        ("{", "failed_to_parse_json"),
        (None, "No such file or directory"),
    ],
)
def test_definitions_that_cannot_be_imported_prevent_the_start(tmp_path, document, problem):
    path = tmp_path / "definitions.json"
    if document is not None:
        path.write_text(document if isinstance(document, str) else json.dumps(document))
    command = [sys.executable, "-m", "amqpbroker", "serve", "--port", "0", "--in-memory", "--definitions", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=PATIENCE_S, check=False)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith(f"Error: definitions {path}: {problem}")
