"""Random requests for every resource of the management API: any method, path, query, body and user."""

import random
import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from amqpbroker.management.resource import Resource
from amqpbroker.management.routes import RESOURCES
from tests.fuzz.http.values import STRINGS, as_json, hostile, quoted

#: Name and tags of the users that send requests; the password is the name. The last user has no permissions.
USERS = {
    "admin": ("administrator",),
    "watcher": ("monitoring",),
    "maker": ("policymaker",),
    "manager": ("management",),
    "nobody": (),
    "stranger": ("management",),
}

#: Parameters of paths -> plausible values, which are used beside random ones.
PARTS: dict[str, tuple[str, ...]] = {
    "vhost": ("/", "/", "/", "v", "w"),
    "name": ("q", "q", "p", "x", "amq.topic", "max-connections", "max-queues", "all", "quorum_queue", "policy"),
    "user": ("maker", "u1", "u2", "u3"),
    "source": ("x", "amq.topic", "amq.default"),
    "destination": ("q", "p", "amq.fanout"),
    "properties_key": ("~", "k", "k~x", "~~"),
    "component": ("shovel", "vhost-limits", "operator_policy", "policy", "other"),
    "exchange": ("x", "amq.topic"),
    "port": ("5672", "1"),
    "protocols": ("amqp", "amqp,http"),
    "within": ("1", "10"),
    "unit": ("days", "weeks", "months", "years"),
    "password": ("p",),
    "node": ("rabbit@localhost",),
    "pattern": (".*",),
}

#: Keys of bodies -> plausible values.
KEYS: dict[str, tuple[Any, ...]] = {
    "durable": (True, False, "true"),
    "auto_delete": (True, False),
    "internal": (True, False),
    "arguments": ({}, {"x-max-length": 5}, {"x-queue-type": "quorum"}, {"alternate-exchange": "x"}),
    "type": ("direct", "topic", "headers", "fanout", "x-consistent-hash", "x-delayed-message"),
    "node": ("", None),
    "routing_key": ("q", "k", "a.b"),
    "properties": ({}, {"delivery_mode": 2, "headers": {"a": 1}}, {"expiration": "10", "priority": 3}),
    "payload": ("text", "YQ=="),
    "payload_encoding": ("string", "base64"),
    "count": (1, 5, "2"),
    "ackmode": ("ack_requeue_true", "ack_requeue_false", "reject_requeue_true", "reject_requeue_false"),
    "encoding": ("auto", "base64"),
    "truncate": (10, 0),
    "requeue": (True,),
    "destination": ("p", "q"),
    "destination_vhost": ("/", "v"),
    "pattern": (".*", "^q$"),
    "definition": ({"max-length": 3}, {"message-ttl": 100, "expires": 1000}, {"dead-letter-exchange": "x"}),
    "apply-to": ("queues", "all", "exchanges"),
    "priority": (0, 5),
    "value": (
        1,
        -1,
        "text",
        {"a": [1]},
        {"src-uri": "amqp://", "src-queue": "q", "dest-uri": "amqp://", "dest-queue": "p"},
    ),
    "password": ("p", ""),
    "password_hash": ("", "AAAA", "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"),
    "hashing_algorithm": ("rabbit_password_hashing_sha256",),
    "tags": ("management", ["monitoring"], ""),
    "configure": (".*", ""),
    "write": (".*", ""),
    "read": (".*", ""),
    "exchange": ("amq.topic", ""),
    "users": (["u1", "u2"], [{"name": "u1", "password": "p", "tags": "management"}]),
    "action": ("sync", "cancel_sync"),
    "description": ("text",),
    "tracing": (True, False),
    "default_queue_type": ("classic", "quorum"),
    "protected_from_deletion": (False,),
    "name": ("name",),
    "vhost": ("/", "v"),
    "vhosts": ([{"name": "v"}], []),
    "permissions": ([{"user": "u1", "vhost": "/", "configure": "", "write": "", "read": ""}],),
    "topic_permissions": ([],),
    "queues": ([{"name": "d", "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}],),
    "exchanges": (
        [{"name": "e", "vhost": "/", "type": "topic", "durable": True, "auto_delete": False, "arguments": {}}],
    ),
    "bindings": (
        [
            {
                "source": "e",
                "vhost": "/",
                "destination": "d",
                "destination_type": "queue",
                "routing_key": "k",
                "arguments": {},
            }
        ],
    ),
    "parameters": ([{"component": "c", "vhost": "/", "name": "n", "value": {}}],),
    "global_parameters": ([{"name": "g", "value": 1}],),
    "policies": ([{"vhost": "/", "name": "y", "pattern": "", "definition": {"max-length": 1}}],),
    "rabbit_version": ("4.0.5",),
    "product_name": ("RabbitMQ",),
}

#: Prefix and suffix of paths -> keys of their bodies.
BODIES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("/queues", "/get", ("count", "ackmode", "encoding", "truncate", "requeue")),
    ("/queues", "/move", ("destination", "destination_vhost", "count")),
    ("/queues", "/actions", ("action",)),
    ("/queues", "", ("durable", "auto_delete", "arguments", "node")),
    ("/exchanges", "/publish", ("routing_key", "properties", "payload", "payload_encoding")),
    ("/exchanges", "", ("type", "durable", "auto_delete", "internal", "arguments")),
    ("/bindings", "", ("routing_key", "arguments")),
    ("/users", "/bulk-delete", ("users",)),
    ("/users", "", ("password", "password_hash", "hashing_algorithm", "tags")),
    ("/permissions", "", ("configure", "write", "read")),
    ("/topic-permissions", "", ("exchange", "write", "read")),
    ("/vhosts", "", ("description", "tags", "tracing", "default_queue_type", "protected_from_deletion")),
    ("/policies", "", ("pattern", "definition", "apply-to", "priority")),
    ("/operator-policies", "", ("pattern", "definition", "apply-to", "priority")),
    ("/parameters", "", ("value",)),
    ("/global-parameters", "", ("value",)),
    ("/vhost-limits", "", ("value",)),
    ("/user-limits", "", ("value",)),
    ("/cluster-name", "", ("name",)),
    ("", "", tuple(KEYS)),
)

#: Parameters of queries -> plausible values.
QUERY: dict[str, tuple[str, ...]] = {
    "page": ("1", "2"),
    "page_size": ("1", "100"),
    "name": ("q", ".*"),
    "use_regex": ("true",),
    "sort": ("name", "messages", "message_stats.publish_details.rate", "arguments"),
    "sort_reverse": ("true",),
    "columns": ("name", "name,arguments", "a.b.c", ""),
    "if-unused": ("true",),
    "if-empty": ("true",),
    "msg_rates_age": ("60",),
    "msg_rates_incr": ("5",),
    "lengths_age": ("60",),
    "lengths_incr": ("5",),
    "data_rates_age": ("600",),
    "data_rates_incr": ("60",),
    "disable_stats": ("true",),
    "enable_queue_totals": ("true",),
    "memory": ("true",),
    "binary": ("true",),
    "download": ("x.json",),
    "family": ("queue_metrics",),
    "vhost": ("/", "v"),
}

METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "FOO")

METRICS = ("/metrics", "/metrics/per-object", "/metrics/detailed", "/metrics/memory-breakdown", "/metrics/nothing", "/")


#: Resources to choose from; those with parameters in the path or with a body are repeated to be chosen more often.
_WEIGHED = [each for each in RESOURCES for _ in range(1 + each.path.count("{") + 4 * bool(each.put or each.post))]


@dataclass(frozen=True)
class Asked:
    """A request as it is sent over the connection. port: `management` or `metrics`."""

    port: str
    method: str
    target: str
    data: bytes

    def __str__(self) -> str:
        return f"{self.port} {self.data[:2000]!r}"


def resource_request(chance: random.Random, resource: Resource, method: str) -> Asked:
    """Return a request for a resource of the management API."""
    path = re.sub(r"\{(\w+)\}", lambda part: quoted(chance, _part(chance, part[1])), resource.path)
    return _asked(chance, "management", method, "/api" + path, _body(chance, method, resource.path))


def spoiled_paths() -> Iterator[tuple[Resource, str, str]]:
    """Yield every resource and method with every hostile text in every parameter of the path, one at a time."""
    for resource in RESOURCES:
        for part in re.findall(r"\{(\w+)\}", resource.path):
            for text in STRINGS:
                filled = resource.path.replace("{" + part + "}", quote(text, safe=""))
                path = re.sub(r"\{(\w+)\}", lambda part: quote(PARTS.get(part[1], ("x",))[0], safe=""), filled)
                for method in resource.methods[1:-1]:
                    yield resource, method, path


def spoiled_request(chance: random.Random, resource: Resource, method: str, path: str) -> Asked:
    return _asked(chance, "management", method, "/api" + path, _body(chance, method, resource.path))


def any_request(chance: random.Random) -> Asked:
    """Return a random request."""
    kind = chance.randrange(25)
    if kind == 0:
        return _asked(chance, "metrics", chance.choice(METHODS), chance.choice(METRICS), _body(chance, "GET"))
    if kind == 1:
        path = "/" + "/".join([quoted(chance, chance.choice(STRINGS)) for _ in range(chance.randrange(5))])
        return _asked(chance, "management", chance.choice(METHODS), chance.choice(("", "/api", "/js")) + path, b"")
    resource = chance.choice(_WEIGHED)
    supported = resource.methods[:-1]
    method = chance.choice(METHODS) if chance.random() < 0.1 else chance.choice(supported)
    return resource_request(chance, resource, method)


def _part(chance: random.Random, name: str) -> str:
    return chance.choice(STRINGS) if chance.random() < 0.25 else chance.choice(PARTS.get(name, ("x",)))


def _asked(chance: random.Random, port: str, method: str, path: str, body: bytes) -> Asked:
    target = path
    if chance.random() < 0.35:
        names = [chance.choice((*QUERY, chance.choice(STRINGS))) for _ in range(chance.randrange(1, 5))]
        target += "?" + "&".join([f"{quoted(chance, name)}={quoted(chance, _queried(chance, name))}" for name in names])
    headers = [f"{method} {target} HTTP/1.1", "Host: localhost", *_headers(chance)]
    headers.append(f"Content-Length: {len(body)}")
    data = "\r\n".join([*headers, "", ""]).encode("latin-1", "replace") + body
    return Asked(port, method, target, data)


def _queried(chance: random.Random, name: str) -> str:
    return chance.choice(STRINGS) if chance.random() < 0.4 else chance.choice(QUERY.get(name, ("x",)))


def _headers(chance: random.Random) -> list[str]:
    kind = chance.randrange(20)
    headers = []
    if kind > 2:
        user = "admin" if kind > 8 else chance.choice(list(USERS))
        headers.append("Authorization: Basic " + b64encode(f"{user}:{user}".encode()).decode())
    elif kind == 1:
        scheme = chance.choice(("Basic", "Bearer", "Digest", ""))
        headers.append(f"Authorization: {scheme} {chance.choice(('x', '====', 'Og==', 'eDp4', '%', chr(228)))}")
    elif kind == 2:
        headers.append(f"Cookie: amqpbroker_session={chance.choice(('x', '', '=', chr(228) * 3))}")
    if chance.random() < 0.2:
        name = chance.choice(
            ("Origin", "Accept", "Content-Type", "X-Reason", "X-Forwarded-For", "If-None-Match", "Range")
        )
        odd = (
            "text/plain;q=x",
            "multipart/form-data; boundary=x",
            "multipart/form-data",
            "http://[",
            "*/*;q=nan",
            "bytes=9-1,-",
            "\xe4",
        )
        headers.append(f"{name}: {chance.choice(odd)}")
    return headers


def _body(chance: random.Random, method: str, path: str = "") -> bytes:
    if method not in ("PUT", "POST") and chance.random() < 0.9:
        return b""
    kind = chance.randrange(20)
    if kind == 0:
        return chance.choice((b"", b"null", b"{", b"\xff\xfe", b'{"a":1}x', b"--x\r\n", b"\0" * 100, b" " * 1000))
    if kind == 1:
        return as_json(hostile(chance)).encode()
    if kind == 2:
        return b"username=" + quoted(chance, chance.choice(STRINGS)).encode() + b"&password=x"
    keys = next(list(keys) for start, end, keys in BODIES if path.startswith(start) and path.endswith(end))
    body = {key: chance.choice(KEYS[key]) for key in keys}
    for key in chance.sample(keys, min(len(keys), chance.choice((0, 1, 1, 2, 3)))):
        if chance.random() < 0.2:
            del body[key]
        else:
            body[key] = _spoiled(chance, body[key])
    return as_json(body).encode()


def _spoiled(chance: random.Random, value: Any) -> Any:
    """Return the value with a hostile part, or a hostile value instead."""
    if isinstance(value, dict) and value and chance.random() < 0.7:
        key = chance.choice(
            (*value, "x-message-ttl", "x-expires", "x-max-priority", "delivery_mode", "headers", "limit")
        )
        return {**value, key: hostile(chance)}
    if isinstance(value, list) and value and chance.random() < 0.7:
        return [_spoiled(chance, value[0]), *value[1:]]
    return hostile(chance)
