"""Record the metrics of a private RabbitMQ: `python -m tools.metrics_golden`.

It writes the type, help and labels of each metric, with which tests/metrics/test_golden.py compares the broker. It
needs rabbitmq-server.
"""

import json
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pika
from prometheus_client.parser import text_string_to_metric_families

from conformance.rabbitmq import free_port, own_rabbitmq
from conformance.target import Target

PATH = Path(__file__).parent.parent / "tests" / "metrics" / "golden.json"

PLUGINS = "[rabbitmq_management,rabbitmq_prometheus]."

#: Families that /metrics/detailed accepts.
FAMILIES = (
    "auth_attempt_detailed_metrics",
    "auth_attempt_metrics",
    "channel_exchange_metrics",
    "channel_metrics",
    "channel_process_metrics",
    "channel_queue_exchange_metrics",
    "channel_queue_metrics",
    "connection_churn_metrics",
    "connection_coarse_metrics",
    "connection_metrics",
    "exchange_bindings",
    "exchange_metrics",
    "exchange_names",
    "node_coarse_metrics",
    "node_metrics",
    "node_persister_metrics",
    "queue_coarse_metrics",
    "queue_consumer_count",
    "queue_delivery_metrics",
    "queue_exchange_metrics",
    "queue_metrics",
    "ra_metrics",
    "stream_consumer_metrics",
    "vhost_status",
)

ENDPOINTS = ("", "/per-object", "/memory-breakdown", *(f"/detailed?family={family}" for family in FAMILIES))

#: Time until RabbitMQ shows new values.
SHOWN_AFTER_S = 7


def described(text: str) -> dict[str, dict[str, Any]]:
    """Return the type and help of each family, and the sets of labels of its samples."""
    found: dict[str, dict[str, Any]] = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        if family.type == "counter" and f"# TYPE {name} " not in text:
            name = family.name
        labels = sorted({tuple(sorted(sample.labels)) for sample in family.samples})
        found[name] = {"type": family.type, "help": family.documentation, "labels": [list(each) for each in labels]}
    return found


def written(found: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Return JSON with a line for each family."""
    pages = []
    for endpoint, families in sorted(found.items()):
        lines = [f"  {json.dumps(name)}: {json.dumps(each, sort_keys=True)}" for name, each in sorted(families.items())]
        pages.append(f" {json.dumps(endpoint)}: {{\n" + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(pages) + "\n}\n"


def busy(host: str, port: int, vhosts: tuple[str, ...]) -> list[pika.BlockingConnection]:
    """Do a little of everything in each vhost; the connections stay open."""
    connections = []
    for vhost in vhosts:
        connection = pika.BlockingConnection(pika.ConnectionParameters(host, port, vhost))
        connections.append(connection)
        plain, confirming, mandatory, getting, automatic = (connection.channel() for _ in range(5))
        _declare(plain)
        stored = pika.BasicProperties(delivery_mode=2, timestamp=1_700_000_000)
        plain.basic_publish("", "nowhere", b"dropped")
        plain.basic_publish("ex", "key", b"hello", stored)
        mandatory.basic_publish("", "nowhere", b"returned", mandatory=True)
        confirming.confirm_delivery()
        for _ in range(5):
            for queue in ("classic", "quorum", "expiring", "short"):
                confirming.basic_publish("", queue, b"body", stored)
        _consume(connection, plain)
        getting.basic_get("classic", auto_ack=True)
        getting.basic_get("classic")
        getting.basic_get("empty")
        method, _, _ = getting.basic_get("short")
        getting.basic_reject(method.delivery_tag, requeue=False)
        automatic.basic_consume("classic", lambda *_: None, auto_ack=True)
        connection.process_data_events(0.2)
        automatic.queue_declare("gone")
        automatic.queue_delete("gone")
        automatic.close()
    pika.BlockingConnection(pika.ConnectionParameters(host, port)).close()
    return connections


def _declare(channel: Any) -> None:
    letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "classic"}
    channel.exchange_declare("ex", "topic")
    channel.queue_declare("classic")
    channel.queue_declare("empty")
    channel.queue_bind("classic", "ex", "#")
    channel.queue_declare("quorum", durable=True, arguments={"x-queue-type": "quorum", "x-max-length": 3} | letters)
    channel.queue_declare("expiring", arguments={"x-message-ttl": 10} | letters)
    channel.queue_declare("short", arguments={"x-max-length": 1} | letters)


def _consume(connection: Any, channel: Any) -> None:
    """Consume: two messages are acknowledged, one is requeued, the others stay."""
    got: list[int] = []
    channel.basic_qos(prefetch_count=2)
    for queue in ("classic", "quorum"):
        channel.basic_consume(queue, lambda _channel, method, *_: got.append(method.delivery_tag))
    connection.process_data_events(0.5)
    for tag in got[:2]:
        channel.basic_ack(tag)
    channel.basic_reject(got[2], requeue=True)
    connection.process_data_events(0.5)


def record() -> dict[str, dict[str, dict[str, Any]]]:
    """Return the descriptions of RabbitMQ's metrics, by endpoint."""
    port = free_port()
    settings = f"prometheus.tcp.port = {port}\nprometheus.tcp.ip = 127.0.0.1\n"
    with own_rabbitmq(PLUGINS, settings) as target:
        for vhost in ("one", "two"):
            _put(target, f"vhosts/{vhost}", {})
            _put(target, f"permissions/{vhost}/guest", {"configure": ".*", "write": ".*", "read": ".*"})
        connections = busy(target.host, target.port, ("/", "one", "two"))
        shown_s = time.monotonic() + SHOWN_AFTER_S
        while time.monotonic() < shown_s:
            for connection in connections:
                connection.process_data_events(0.1)
        found = {}
        for endpoint in ENDPOINTS:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics{endpoint}") as answer:
                found[f"/metrics{endpoint}"] = described(answer.read().decode())
        for connection in connections:
            connection.close()
    return found


def _put(target: Target, path: str, body: dict[str, str]) -> None:
    assert target.management_url is not None
    scheme, _, rest = target.management_url.partition("://")
    user, _, host = rest.rpartition("@")
    name, _, password = user.partition(":")
    passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
    passwords.add_password(None, f"{scheme}://{host}", name, password, is_authenticated=True)
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))
    request = urllib.request.Request(f"{scheme}://{host}/api/{quote(path)}", json.dumps(body).encode(), method="PUT")  # noqa: S310 - a server of our own
    request.add_header("content-type", "application/json")
    opener.open(request).close()


if __name__ == "__main__":
    PATH.write_text(written(record()))
