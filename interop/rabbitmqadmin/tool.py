"""rabbitmqadmin, the command-line tool that comes with RabbitMQ's management plugin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import pika

from interop.checks import AMQP_URL, MANAGEMENT_URL, check, finish, version_is

PROGRAM = os.environ["RABBITMQADMIN"]
PARTS = urlsplit(MANAGEMENT_URL)


def run(*words: str, login: tuple[str, str] = ("guest", "guest"), fails: bool = False) -> str:
    """Return the output; with `fails` the tool must exit with an error, which is returned."""
    command = [sys.executable, PROGRAM, "--host", str(PARTS.hostname), "--port", str(PARTS.port)]
    command += ["-u", login[0], "-p", login[1], *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode != 0) is fails, f"{words}: {done.returncode} {done.stderr} {done.stdout}"
    return done.stdout + done.stderr if fails else done.stdout


def rows(*words: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(run("--format", "raw_json", *words))
    return found


def names(*words: str) -> set[object]:
    return {row["name"] for row in rows(*words)}


version_is(f"rabbitmqadmin {run('--version').split()[-1]}")

with check("lists"):
    overview = json.loads(run("--format", "raw_json", "show", "overview"))[0]
    assert overview["rabbitmq_version"]
    assert "| " in run("show", "overview")
    assert "/" in names("list", "vhosts")
    assert {"amq.topic", "amq.direct"} <= names("list", "exchanges")
    assert "guest" in names("list", "users")
    assert "@" in run("list", "nodes", "name")
    connection = pika.BlockingConnection(pika.URLParameters(AMQP_URL))
    channel = connection.channel()
    channel.queue_declare("consumed")
    channel.basic_consume("consumed", lambda *_: None)
    deadline = time.monotonic() + 60
    while not (rows("list", "connections") and rows("list", "channels")) and time.monotonic() < deadline:
        time.sleep(0.5)  # RabbitMQ tells of them when its statistics have been collected
    assert rows("list", "connections")[0]["user"] == "guest"
    assert rows("list", "channels")[0]["number"] == 1
    assert rows("list", "consumers")[0]["ack_required"] is True
    connection.close()

with check("topology"):
    run("declare", "exchange", "name=x", "type=topic", "durable=true")
    run("declare", "queue", "name=q", "durable=true", 'arguments={"x-max-length": 100}')
    run("declare", "binding", "source=x", "destination=q", "routing_key=a.#", "destination_type=queue")
    (queue,) = [row for row in rows("list", "queues") if row["name"] == "q"]
    assert queue["arguments"]["x-max-length"] == 100, queue  # type: ignore[index]
    assert any(row["source"] == "x" and row["routing_key"] == "a.#" for row in rows("list", "bindings"))
    assert "a.#" in run("list", "bindings", "source", "destination", "routing_key")

with check("messages"):
    run("publish", "exchange=x", "routing_key=a.b", "payload=hello", 'properties={"delivery_mode": 2}')
    assert "NOT routed" in run("publish", "exchange=x", "routing_key=b", "payload=x")
    (message,) = rows("get", "queue=q", "ackmode=ack_requeue_true")
    assert (message["payload"], message["routing_key"]) == ("hello", "a.b")
    (message,) = rows("get", "queue=q", "ackmode=ack_requeue_false")
    assert message["redelivered"] is True
    assert rows("get", "queue=q") == []

with check("purge-delete"):
    run("publish", "exchange=x", "routing_key=a.b", "payload=hello")
    run("purge", "queue", "name=q")
    assert rows("get", "queue=q") == []
    run("delete", "binding", "source=x", "destination=q", "destination_type=queue", "properties_key=a.%23")
    run("delete", "queue", "name=q")
    run("delete", "exchange", "name=x")
    assert "q" not in names("list", "queues")
    assert "x" not in names("list", "exchanges")

with check("users"):
    run("declare", "vhost", "name=v")
    run("declare", "user", "name=u", "password=p", "tags=management")
    run("declare", "permission", "vhost=v", "user=u", "configure=.*", "write=.*", "read=.*")
    assert {"user": "u", "vhost": "v", "configure": ".*", "write": ".*", "read": ".*"} in rows("list", "permissions")
    parts = urlsplit(AMQP_URL)
    pika.BlockingConnection(pika.URLParameters(f"amqp://u:p@{parts.hostname}:{parts.port}/v")).close()

with check("policies"):
    run("-V", "v", "declare", "policy", "name=short", "pattern=^s", 'definition={"max-length": 1}', "apply-to=queues")
    assert rows("-V", "v", "list", "policies")[0]["definition"] == {"max-length": 1}
    run("-V", "v", "delete", "policy", "name=short")

with check("definitions"), tempfile.TemporaryDirectory() as folder:
    run("declare", "queue", "name=kept", "durable=true")
    path = str(Path(folder) / "definitions.json")
    run("export", path)
    run("delete", "queue", "name=kept")
    run("delete", "user", "name=u")
    run("delete", "vhost", "name=v")
    run("import", path)
    assert "kept" in names("list", "queues")
    assert "v" in names("list", "vhosts")
    assert json.loads(run("--format", "raw_json", "-u", "u", "-p", "p", "show", "overview"))

with check("errors"):
    assert "Access refused" in run("list", "queues", login=("guest", "wrong"), fails=True)
    assert "Not found" in run("delete", "queue", "name=nope", fails=True)
    assert "nonsense" in run("declare", "exchange", "name=x", "type=nonsense", fails=True)

finish()
