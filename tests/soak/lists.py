"""Soak phases for lists of many objects, and for definitions of many objects."""

import json
import urllib.request
from contextlib import ExitStack

from amqpbroker.management.formats.rates import MAX_STEPS
from amqpbroker.management.listing import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, SORTED_PER_ROW
from amqpbroker.management.nesting import MAX_BODY_LEVELS, MAX_DEFINITIONS_LEVELS
from amqpbroker.management.streamed import WHOLE_BYTES
from tests.load.client import request
from tests.soak.soak import TRANSIENT, Phase, Soak
from tests.soak.traffic import alike, delete, publish

#: Number of queues whose rows are more than twice as large as an answer that is sent whole.
MANY = 3000
LISTS = ("queues", "exchanges", "bindings", "consumers", "channels", "connections")


def lists(soak: Soak) -> None:
    """List more objects than any slice, page or unstreamed answer holds, and read their metrics."""
    rows = soak.bounds.rows
    count, connected = max(MANY, 2 * SORTED_PER_ROW * rows + 10), 2 * rows + 10
    api = soak.management
    with ExitStack() as stack:
        clients = [stack.enter_context(soak.client()) for _ in range(connected)]
        client = clients[0]
        declared = (
            request("queue.declare", queue=f"listed-{i:05}", exclusive=True)
            + request("queue.bind", queue=f"listed-{i:05}", exchange="amq.topic", routing_key=f"key.{i}")
            + request("basic.consume", queue=f"listed-{i:05}", consumer_tag=str(i))
            for i in range(count)
        )
        client.pump(declared, lambda: client.seen["basic.consume-ok"] == count)
        found = {name: api.call("GET", f"/{name}") for name in LISTS}
        assert len(found["queues"]) == len(found["consumers"]) == count
        assert len(found["connections"]) == len(found["channels"]) == connected
        pages = range(1, -(-count // MAX_PAGE_SIZE) + 1)
        path = f"/queues?page_size={MAX_PAGE_SIZE}&name=listed&page="
        paged = [row["name"] for page in pages for row in api.call("GET", f"{path}{page}")["items"]]
        assert paged == sorted(row["name"] for row in found["queues"])
        assert len(api.call("GET", "/queues?sort=messages")) == count
        assert len(api.call("GET", "/queues?page=1")["items"]) == DEFAULT_PAGE_SIZE <= count // 2
        assert api.request("GET", f"/queues?page=1&page_size={2 * MAX_PAGE_SIZE + 1}")[0] == 400
        assert len(json.dumps(found["queues"])) > 2 * WHOLE_BYTES
        assert api.call("GET", "/overview")["object_totals"]["queues"] == count
        node = api.call("GET", "/nodes")[0]["name"]
        api.call("GET", f"/nodes/{node}?memory=true")
        for path in ("metrics", "metrics/per-object"):
            with urllib.request.urlopen(f"http://127.0.0.1:{soak.metrics_port}/{path}") as answer:
                answer.read()
        for each in clients:
            each.close()


def definitions(soak: Soak) -> None:
    """Export and import the definitions of many objects, and delete all of them."""
    count = 2 * soak.bounds.rows + 10
    api = soak.management
    own = {"vhost": "imported"}
    document = {
        "vhosts": [{"name": "imported"}],
        "queues": [
            own | {"name": f"q{i}", "durable": True, "auto_delete": False, "arguments": {}} for i in range(count)
        ],
        "exchanges": [
            own
            | {"name": f"e{i}", "type": "topic", "durable": True, "auto_delete": False, "internal": False}
            | {"arguments": {}}
            for i in range(count)
        ],
        "bindings": [
            own
            | {"source": f"e{i}", "destination": f"q{i}", "destination_type": "queue", "routing_key": "#"}
            | {"arguments": {}}
            for i in range(count)
        ],
        "policies": [
            own | {"name": f"p{i}", "pattern": f"^q{i}$", "definition": {"max-length": i}, "priority": i}
            for i in range(count)
        ],
        "users": [{"name": f"u{i}", "password_hash": "", "tags": [], "limits": {}} for i in range(count)],
        "permissions": [own | {"user": f"u{i}", "configure": "", "write": "", "read": ""} for i in range(count)],
    }
    api.call("POST", "/definitions", document)
    exported = api.call("GET", "/definitions")
    for name, rows in document.items():
        assert len(exported[name]) >= len(rows), name
    api.call("DELETE", "/vhosts/imported")
    for i in range(count):
        api.call("DELETE", f"/users/u{i}")


def refused(soak: Soak) -> None:
    """Send requests over HTTP that exceed twice the allowed size, or have more levels."""
    api = soak.management
    count = 2 * soak.bounds.slice_count + 10
    wanted = {"count": count, "ackmode": "ack_requeue_true", "encoding": "auto"}
    body = b"x" * (2 * soak.bounds.slice_bytes // soak.bounds.slice_count + 1)
    with soak.client() as client:
        client.declare("q")
        publish(client, alike(TRANSIENT, "q", count, body=body), count)
        assert len(api.call("POST", "/queues/%2F/q/get", wanted)) == count
        delete(client, "q")
        client.close()
    for steps, status in ((MAX_STEPS, 200), (2 * MAX_STEPS + 1, 400)):
        assert api.request("GET", f"/overview?lengths_age={steps}&lengths_incr=1")[0] == status
    for path, most in (("/global-parameters/deep", MAX_BODY_LEVELS), ("/definitions", MAX_DEFINITIONS_LEVELS)):
        nested: dict[str, object] = {}
        for _ in range(2 * most):
            nested = {"value": nested}
        assert api.request("POST" if path == "/definitions" else "PUT", path, nested)[0] == 400


PHASES = [Phase("lists", lists), Phase("definitions", definitions), Phase("refused requests", refused)]
