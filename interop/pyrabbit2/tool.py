"""pyrabbit2, a client of the management API that operations tools use."""

from __future__ import annotations

from urllib.parse import urlsplit

import pika
from pyrabbit2 import api
from pyrabbit2.http import HTTPError

from interop.checks import AMQP_URL, MANAGEMENT_URL, check, expect, finish, version

version("pyrabbit2")
HOST = urlsplit(MANAGEMENT_URL).netloc
client = api.Client(HOST, "guest", "guest", timeout=30)

with check("lists"):
    assert client.is_alive()
    assert client.get_overview()["rabbitmq_version"]
    assert client.get_nodes()[0]["running"] is True
    assert "/" in client.get_vhost_names()
    assert "amq.topic" in {exchange["name"] for exchange in client.get_exchanges("/")}
    assert isinstance(client.get_connections(), list)
    assert isinstance(client.get_channels(), list)
    assert client.get_whoami()["name"] == "guest"

with check("topology"):
    client.create_exchange("/", "x", "topic", durable=True)
    client.create_queue("/", "q", durable=True)
    client.create_binding("/", "x", "q", "a.#")
    assert client.get_queue("/", "q")["durable"] is True
    assert "a.#" in {binding["routing_key"] for binding in client.get_queue_bindings("/", "q")}
    assert "x" in {binding["source"] for binding in client.get_bindings()}

with check("messages"):
    assert client.publish("/", "x", "a.b", "hello") is True
    (message,) = client.get_messages("/", "q", count=1, requeue=True)
    assert message["payload"] == "hello"
    (message,) = client.get_messages("/", "q", count=1, requeue=False)
    assert message["redelivered"] is True

with check("purge-delete"):
    client.publish("/", "x", "a.b", "hello")
    client.purge_queue("/", "q")
    assert not client.get_messages("/", "q")
    client.delete_binding("/", "x", "q", "a.%23")
    client.delete_queue("/", "q")
    client.delete_exchange("/", "x")
    assert "q" not in {queue["name"] for queue in client.get_queues("/")}

with check("users"):
    client.create_vhost("v")
    client.create_user("u", "p", tags="management")
    client.set_vhost_permissions("v", "u", ".*", ".*", ".*")
    assert client.get_user_permissions("u")[0]["vhost"] == "v"
    parts = urlsplit(AMQP_URL)
    pika.BlockingConnection(pika.URLParameters(f"amqp://u:p@{parts.hostname}:{parts.port}/v")).close()

with check("policies"):
    client.create_policy("v", "short", pattern="^s", definition={"max-length": 1}, priority=3)
    assert client.get_policy("v", "short")["priority"] == 3
    client.delete_policy("v", "short")
    client.delete_user("u")
    client.delete_vhost("v")

with check("definitions"):
    definitions = client.get_definitions()
    assert "guest" in {user["name"] for user in definitions["users"]}

with check("errors"):
    with expect(api.PermissionError):
        api.Client(HOST, "guest", "wrong").get_overview()
    with expect(HTTPError) as refused:
        client.get_queue("/", "nope")
    assert refused.error.status == 404

finish()
