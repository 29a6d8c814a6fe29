"""Record the keys in the answers of RabbitMQ's management API, and the JSON types of their values.

`python -m tools.management_golden` runs Debian's RabbitMQ, creates objects of every kind, and writes
tests/management/golden/keys.json, with which tests/management/test_golden.py compares the broker's own API. Values are
not recorded.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pika

PATH = Path(__file__).parent.parent / "tests" / "management" / "golden" / "keys.json"

#: The vhost of these objects.
VHOST = "golden"
#: Time after which the API shows everything that RabbitMQ counts.
SETTLE_S = 12.0

#: JSON path -> types, separated by a bar. `[]` is any member of an array.
Keys = dict[str, str]

_SAMPLES = "msg_rates_age=10&msg_rates_incr=5&lengths_age=10&lengths_incr=5&data_rates_age=10&data_rates_incr=5"
#: Requested paths; CONNECTION and NODE stand for names.
ASKED = (
    "overview",
    f"overview?{_SAMPLES}",
    "nodes",
    "nodes/NODE",
    "nodes/NODE/memory",
    "nodes/NODE/memory/relative",
    "extensions",
    "version",
    "cluster-name",
    "whoami",
    "connections",
    "connections/CONNECTION",
    "connections/CONNECTION/channels",
    "connections/username/guest",
    f"vhosts/{VHOST}/connections",
    "channels",
    "channels/CONNECTION (1)",
    "channels/CONNECTION (2)",
    f"vhosts/{VHOST}/channels",
    "consumers",
    f"consumers/{VHOST}",
    f"exchanges/{VHOST}",
    f"exchanges/{VHOST}/events",
    f"exchanges/{VHOST}/events/bindings/source",
    f"exchanges/{VHOST}/amq.fanout/bindings/destination",
    f"queues/{VHOST}",
    f"queues/{VHOST}?page=1&page_size=2",
    f"queues/{VHOST}?disable_stats=true&enable_queue_totals=true",
    f"queues/{VHOST}/plain",
    f"queues/{VHOST}/plain?{_SAMPLES}",
    f"queues/{VHOST}/quorum",
    f"queues/{VHOST}/mine",
    f"queues/{VHOST}/plain/bindings",
    f"queues/quorum/{VHOST}/quorum/status",
    "queues/detailed",
    f"bindings/{VHOST}",
    f"bindings/{VHOST}/e/events/q/plain",
    f"bindings/{VHOST}/e/events/q/plain/a.%252A",
)

#: Objects whose keys are data.
_NAMES = ("client_properties", "arguments", "effective_policy_definition", "open_files", "applications", "headers")


@contextmanager
def scene(port: int, client: httpx.Client) -> Iterator[str]:
    """Create objects of every kind by AMQP and the API; yield the name of the connection that has most of them."""
    client.put(f"vhosts/{VHOST}").raise_for_status()
    client.put(f"permissions/{VHOST}/guest", json={"configure": ".*", "write": ".*", "read": ".*"}).raise_for_status()
    limit = {"pattern": "^plain$", "definition": {"max-length": 100}, "apply-to": "queues"}
    client.put(f"policies/{VHOST}/short", json=limit).raise_for_status()
    client.put(f"operator-policies/{VHOST}/shorter", json=limit).raise_for_status()
    named = pika.ConnectionParameters("127.0.0.1", port, VHOST, client_properties={"connection_name": "scene"})
    connection = pika.BlockingConnection(named)
    first, second = connection.channel(), connection.channel()
    first.confirm_delivery()
    first.queue_declare("plain", durable=True)
    first.queue_declare("quorum", durable=True, arguments={"x-queue-type": "quorum"})
    first.queue_declare("mine", exclusive=True)
    first.exchange_declare("events", "topic", durable=True, arguments={"alternate-exchange": "lost"})
    first.queue_bind("plain", "events", "a.*")
    first.queue_bind("plain", "events", "b", {"number": 1})
    first.exchange_bind("amq.fanout", "events", "k")
    for routing_key, exchange in (("a.1", "events"), ("quorum", ""), ("mine", "")):
        for _ in range(3):
            first.basic_publish(exchange, routing_key, b"hello", pika.BasicProperties(delivery_mode=2, timestamp=1))
    second.basic_qos(prefetch_count=1)
    second.basic_consume("plain", lambda *_: None, consumer_tag="tag", arguments={"x-priority": 3})
    second.basic_get("mine")
    connection.process_data_events(1)
    try:
        own = [each for each in _when_there(client) if each.get("user_provided_name") == "scene"]
        yield own[0]["name"]
    finally:
        connection.close()
        client.delete(f"vhosts/{VHOST}")


def _when_there(client: httpx.Client) -> list[dict[str, Any]]:
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline:
        found: list[dict[str, Any]] = client.get("connections").json()
        if any("user_provided_name" in each for each in found):
            return found
        time.sleep(0.2)
    raise AssertionError("the connection did not appear in the API")


def keys(value: Any) -> Keys:
    found: dict[str, set[str]] = {}
    _walk(value, "", found)
    return {path: "|".join(sorted(types)) for path, types in sorted(found.items())}


def _walk(value: Any, path: str, found: dict[str, set[str]]) -> None:
    types = {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null"}
    kind = types.get(type(value)) or ("object" if isinstance(value, dict) else "array")
    found.setdefault(path, set()).add(kind)
    if isinstance(value, dict) and path.rsplit(".", 1)[-1] not in _NAMES:
        for name, member in value.items():
            _walk(member, f"{path}.{name}", found)
    if isinstance(value, list):
        for member in value:
            _walk(member, f"{path}[]", found)


def ask(client: httpx.Client, connection: str) -> dict[str, Keys]:
    """Return the keys of all requested paths."""
    node = client.get("overview").json()["node"]
    found = {}
    for path in ASKED:
        url = path.replace("NODE", node).replace("CONNECTION", quote(connection, safe=""))
        answer = client.get(url)
        assert answer.status_code == 200, (url, answer.text)
        found[path] = keys(answer.json())
    return found


def main() -> None:
    from conformance.rabbitmq import own_rabbitmq

    with (
        own_rabbitmq() as target,
        httpx.Client(base_url=f"{target.management_url}/api/") as client,
        scene(target.port, client) as connection,
    ):
        time.sleep(SETTLE_S)
        found = ask(client, connection)
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
