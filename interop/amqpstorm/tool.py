"""amqpstorm's client of the management API."""

from __future__ import annotations

import time

import amqpstorm
from amqpstorm.management import ApiConnectionError, ApiError, ManagementApi

from interop.checks import AMQP_URL, MANAGEMENT_URL, check, expect, finish, not_applicable, version

version("AMQPStorm")
api = ManagementApi(MANAGEMENT_URL, "guest", "guest", timeout=30)

with check("lists"):
    assert api.overview()["rabbitmq_version"]
    assert api.whoami()["name"] == "guest"
    assert api.nodes()[0]["running"] is True
    assert "amq.topic" in {exchange["name"] for exchange in api.exchange.list()}
    connection = amqpstorm.UriConnection(AMQP_URL.rstrip("/") + "/%2F?heartbeat=0")
    channel = connection.channel()
    channel.queue.declare("consumed")
    channel.basic.consume(lambda message: None, "consumed")
    deadline = time.monotonic() + 60
    while not (api.connection.list() and api.channel.list()) and time.monotonic() < deadline:
        time.sleep(0.5)  # RabbitMQ tells of them when its statistics have been collected
    (listed,) = api.connection.list()
    assert api.connection.get(listed["name"])["user"] == "guest"
    (listed_channel,) = api.channel.list()
    assert api.channel.get(listed_channel["name"])["number"] == 1
    connection.close()

with check("topology"):
    api.exchange.declare("x", exchange_type="topic", durable=True)
    api.queue.declare("q", durable=True, arguments={"x-max-length": 100})
    api.queue.bind(queue="q", exchange="x", routing_key="a.#")
    assert api.queue.get("q")["arguments"]["x-max-length"] == 100
    assert "a.#" in {binding["routing_key"] for binding in api.queue.bindings("q")}
    assert "a.#" in {binding["routing_key"] for binding in api.exchange.bindings("x")}
    with expect(ApiError) as refused:
        api.queue.get("nope")
    assert refused.error.error_code == 404

with check("messages"):
    assert api.basic.publish("hello", exchange="x", routing_key="a.b") == {"routed": True}
    (message,) = api.basic.get("q", requeue=True)
    assert message.body == "hello"
    (message,) = api.basic.get("q", requeue=False, to_dict=True)
    assert message["redelivered"] is True
    assert api.basic.get("q", to_dict=True) == []

with check("purge-delete"):
    api.basic.publish("hello", exchange="x", routing_key="a.b")
    api.queue.purge("q")
    assert api.basic.get("q", to_dict=True) == []
    api.queue.unbind(queue="q", exchange="x", routing_key="a.#", properties_key="a.%23")
    api.queue.delete("q")
    api.exchange.delete("x")
    assert "q" not in {queue["name"] for queue in api.queue.list()}

with check("users"):
    api.virtual_host.create("v")
    api.user.create("u", "p", tags="management")
    api.user.set_permission("u", "v")
    assert api.user.get_permission("u", "v")["configure"] == ".*"
    assert ManagementApi(MANAGEMENT_URL, "u", "p").whoami()["tags"] in ("management", ["management"])
    api.user.delete_permission("u", "v")
    api.user.delete("u")
    api.virtual_host.delete("v")

with check("health"):
    assert api.healthchecks.get()["status"] == "ok"
    assert api.aliveness_test("/")["status"] == "ok"

not_applicable("policies", "no method for it")
not_applicable("definitions", "no method for it")

with check("errors"):
    with expect(ApiError) as refused:
        ManagementApi(MANAGEMENT_URL, "guest", "wrong").overview()
    assert refused.error.error_code == 401
    with expect(ApiConnectionError):
        ManagementApi("http://127.0.0.1:1", "guest", "guest", timeout=2).overview()

finish()
