"""The HTTP requests of a script: operations of the management API on the objects that the script's clients use.

Scripts have only requests that RabbitMQ answers at once, and with the same answer every time. They leave out:

- counts, rates and lists of connections, channels and queues: statistics are up to five seconds late;
- policies that RabbitMQ answers with 500, and definitions whose import fails half-way;
- changed permissions of an open channel: RabbitMQ's channels cache permissions, so the channel is closed;
- rejecting several messages, and limits by policy, if there are dead letters: a race;
- policies with a limit for queues that refuse publishes or expire messages at once, and for quorum queues, which apply
  them with a delay;
- `get` from quorum queues with expiring messages: messages expire behind those that are taken and returned;
- two large messages for one quorum queue: a consumer gets some 256 KiB at once (docs/compatibility.md);
- a routing key of more than 255 bytes, which RabbitMQ's API accepts in a publish;
- deleting queues and users if there are transactions: a race with the open transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from conformance.fuzz import vocabulary
from conformance.fuzz.step import HTTP, Step

if TYPE_CHECKING:
    from conformance.fuzz.generator import Generator

#: Share of scripts that have each feature; without the first a script has none of the others.
FEATURES = {"http": 0.7, "http_user": 0.4, "http_vhost": 0.35, "policy": 0.5}

PASSWORD = "p"
#: Time until every queue has a new policy.
SETTLE_MS = 50
ROOT = "%2F"
ALL = {"configure": ".*", "write": ".*", "read": ".*"}

_ACK_MODES = ("ack_requeue_true", "ack_requeue_false", "reject_requeue_true", "reject_requeue_false")
_PERMISSIONS: tuple[dict[str, str], ...] = (
    ALL,
    {"configure": "", "write": ".*", "read": ".*"},
    {"configure": ".*", "write": "", "read": ".*"},
    {"configure": ".*", "write": ".*", "read": ""},
    {"configure": ".*", "write": "^$", "read": "q[12]$"},
)
_PROPERTIES: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"delivery_mode": 2},
    {"content_type": "text/plain", "correlation_id": "c"},
    {"headers": {"h": 1, "k": "v"}},
    {"headers": {"h": "1", "x-h": "w", "list": [1, "x", {"deep": True}]}},
    {"message_id": "id", "timestamp": 1_700_000_000, "type": "t", "app_id": "app"},
)
_WRONG_PROPERTIES: tuple[dict[str, Any], ...] = (
    {"expiration": "soon"},
    {"user_id": "nobody"},
    {"delivery_mode": "2"},
    {"content_type": 5},
    {"headers": {"a": None}},
)
_WRONG_DEFINITIONS: tuple[dict[str, Any], ...] = (
    {},
    {"max-length": -1},
    {"max-length": "1"},
    {"message-ttl": 1.5},
    {"overflow": "drop-tail"},
    {"expires": 0},
)


def path(*parts: str, **query: str) -> str:
    """Return a path below /api with quoted parts; `ROOT` is quoted already."""
    joined = "/".join(part if part == ROOT else quote(part, safe="") for part in parts)
    return joined + (f"?{urlencode(query)}" if query else "")


class HttpSteps:
    """Generates the requests of one script."""

    def __init__(self, script: Generator) -> None:
        self._script = script
        self._random = script.random
        self._has = script.has
        self.user = script.name("u")
        self.vhost = script.name("v")
        self._queue_of_vhost = script.name("vq")

    def operations(self) -> list[tuple[Callable[[], None], float]]:
        """Return the possible operations with their relative frequencies."""
        if "http" not in self._has:
            return []
        user, vhost = "http_user" in self._has, "http_vhost" in self._has
        return [
            (self._publish, 5),
            (self._get, 4),
            (self._put_queue, 2),
            (self._delete_queue, 1),
            (self._purge, 1),
            (self._put_exchange, 1),
            (self._delete_exchange, 0.7),
            (self._bind, 2),
            (self._unbind, 1),
            (self._look, 1.5),
            (self._policy, 3 if "policy" in self._has else 0),
            (self._import, 1),
            (self._permissions, 1.5 if user else 0),
            (self._close_connections, 1 if user else 0),
            (self._delete_user, 0.5 if user else 0),
            (self._in_vhost, 3 if vhost else 0),
            (self._delete_vhost, 1 if vhost else 0),
        ]

    def begin(self) -> None:
        """Make the user and the vhost of the script."""
        if "http_user" in self._has:
            self._make_user()
        if "http_vhost" in self._has:
            self._ask("PUT", path("vhosts", self.vhost), {})

    # chances

    def _may(self, share: float) -> bool:
        return self._random.random() < share

    def _ask(self, method: str, where: str, body: Any = None, pause_ms: int = 0) -> None:
        arguments = {"method": method, "path": where} | ({} if body is None else {"body": body})
        self._script.steps.append(Step(HTTP, "request", arguments, pause_ms=pause_ms))

    def _queue(self) -> str:
        return self._script.target_queue()

    # queues and exchanges

    def _put_queue(self) -> None:
        plan = self._random.choice(self._script.queues)
        if plan.flags.get("auto_delete") or plan.flags.get("exclusive") or not vocabulary.is_plain(plan.arguments):
            return
        body: dict[str, Any] = {"durable": plan.flags.get("durable", False), "arguments": plan.arguments}
        choice = self._random.random()
        if choice < 0.1:
            body["durable"] = not body["durable"] or plan.is_quorum
        elif choice < 0.2:
            body["auto_delete"] = True
        elif choice < 0.3:
            body["arguments"] = {**plan.arguments, "x-max-length": 77}
        elif choice < 0.35:
            body["durable"] = "maybe"
        self._ask("PUT", path("queues", ROOT, plan.name), body)

    def _delete_queue(self) -> None:
        if "tx" in self._has:
            return
        plan = self._random.choice(self._script.queues)
        query = {name: "true" for name in ("if-unused", "if-empty") if self._may(0.3) and not plan.is_quorum}
        self._script.ack_all()
        name = plan.name if self._may(0.9) else self._script.name("q9")
        self._ask("DELETE", path("queues", ROOT, name, **query))
        if self._may(0.7):
            self._script.declare_again(plan)

    def _purge(self) -> None:
        self._ask("DELETE", path("queues", ROOT, self._queue(), "contents"))

    def _put_exchange(self) -> None:
        plan = self._random.choice(self._script.exchanges)
        body: dict[str, Any] = {"type": plan.kind, **plan.flags, "arguments": plan.arguments}
        choice = self._random.random()
        if choice < 0.15:
            body["type"] = self._random.choice((*vocabulary.KINDS, "x-no-such-kind"))
        elif choice < 0.25:
            body["durable"] = not body.get("durable", False)
        elif choice < 0.3:
            body["internal"] = "yes"
        self._ask("PUT", path("exchanges", ROOT, plan.name), body)

    def _delete_exchange(self) -> None:
        plan = self._random.choice(self._script.exchanges)
        query = {"if-unused": "true"} if self._may(0.5) else {}
        self._ask("DELETE", path("exchanges", ROOT, plan.name, **query))
        if self._may(0.7):
            self._script.declare_exchange(plan)

    # bindings

    def _bind(self) -> None:
        exchange = self._random.choice(self._script.exchanges)
        binding = self._script.binding(exchange)
        arguments = binding.get("arguments") or {}
        if not vocabulary.is_plain(arguments) or None in arguments.values():
            return
        body = {"routing_key": binding["key"], "arguments": arguments}
        if self._may(0.2):
            other = self._random.choice(self._script.exchanges)
            self._ask("POST", path("bindings", ROOT, "e", exchange.name, "e", other.name), body)
        else:
            self._ask("POST", path("bindings", ROOT, "e", exchange.name, "q", self._queue()), body)

    def _unbind(self) -> None:
        exchange = self._random.choice(self._script.exchanges)
        binding = self._script.binding(exchange)
        if not binding.get("arguments") and binding["key"] != ".":  # RabbitMQ's server normalises such a path
            where = path("bindings", ROOT, "e", exchange.name, "q", self._queue(), binding["key"] or "~")
            self._ask("DELETE", where)

    def _look(self) -> None:
        """Request objects that are visible at once: definitions, not statistics."""
        exchange = self._random.choice(self._script.exchanges)
        wheres = [
            path("bindings", ROOT, "e", exchange.name, "q", self._queue()),
            path("queues", ROOT, self._queue(), "bindings"),
            path("exchanges", ROOT, exchange.name, "bindings", "source"),
            path("policies", ROOT, self._script.name("p1")),
        ]
        if "http_user" in self._has:
            wheres.append(path("permissions", ROOT, self.user))
        self._ask("GET", self._random.choice(wheres))

    # messages

    def _publish(self) -> None:
        if {"large", "quorum"} <= self._has:
            return
        exchange, key = self._script.address()
        properties = dict(self._random.choice(_PROPERTIES))
        if self._may(0.08):
            properties |= self._random.choice(_WRONG_PROPERTIES)
        body = {
            "routing_key": key,
            "properties": properties,
            "payload": self._script.body(),
            "payload_encoding": "string",
        }
        if self._may(0.1):
            body |= self._random.choice(
                (
                    {"payload": "bTA=", "payload_encoding": "base64"},
                    {"payload": "/wA=", "payload_encoding": "base64"},
                    {"payload_encoding": "hex"},
                    {"payload": 5},
                )
            )
        self._ask("POST", path("exchanges", ROOT, exchange or "amq.default", "publish"), body)

    def _get(self) -> None:
        """Get messages, unless a channel-wide prefetch limit is used; the same restriction applies to basic.get."""
        if "whole_channel_limit" in self._has or {"ttl", "quorum"} <= self._has:
            return
        count: Any = self._random.choice((0, 1, 1, 1, 2, 3, 10, -1, "2", 1.5, "x"))
        ack_mode = self._random.choice(_ACK_MODES)
        if ack_mode == "reject_requeue_false" and "dead_letters" in self._has:
            count = 1
        body: dict[str, Any] = {
            "count": count,
            "ackmode": ack_mode,
            "encoding": self._random.choice(("auto", "base64")),
        }
        if self._may(0.2):
            body["truncate"] = self._random.choice((0, 1, 2, 1000, "1", "x"))
        if self._may(0.04):
            body["encoding"] = "hex"
        if self._may(0.04):
            del body[self._random.choice(("count", "ackmode", "encoding"))]
        self._ask("POST", path("queues", ROOT, self._queue(), "get"), body)

    # policies and definitions

    def _policy(self) -> None:
        rng = self._random
        where = path("policies", ROOT, self._script.name(rng.choice(("p1", "p1", "p2"))))
        if self._may(0.25):
            self._ask("DELETE", where)
            return
        body: dict[str, Any] = {"pattern": f"^{self._script.name('')}".replace(".", "[.]") + rng.choice(("q", "x1"))}
        if self._may(0.12):
            body["definition"] = rng.choice(_WRONG_DEFINITIONS)
        elif self._may(0.25):
            body |= {"definition": {"alternate-exchange": self._script.name("x2")}, "apply-to": "exchanges"}
        else:
            body |= {"definition": rng.choice(self._limits()), "apply-to": rng.choice(("queues", "classic_queues"))}
        if self._may(0.3):
            body["priority"] = rng.choice((1, 2, -1))
        self._ask("PUT", where, body, pause_ms=SETTLE_MS)

    def _limits(self) -> list[dict[str, Any]]:
        limits: list[dict[str, Any]] = [{"message-ttl": vocabulary.LONG_MS}, {"expires": vocabulary.LONG_MS}]
        if not self._has & {"dead_letters", "reject_publish", "ttl", "quorum", "length", "tx"}:
            limits += [{"max-length": 1}, {"max-length": 3, "expires": vocabulary.LONG_MS}]
        return limits

    def _import(self) -> None:
        """Import objects that a script may declare, as a document for the vhost. Existing objects stay unchanged."""
        plans = [
            plan
            for plan in self._script.queues
            if not plan.flags.get("exclusive") and vocabulary.is_plain(plan.arguments)
        ]
        exchange = self._random.choice(self._script.exchanges)
        if not plans:
            return
        plan = self._random.choice(plans)
        document: dict[str, Any] = {
            "queues": [
                {
                    "name": plan.name,
                    "durable": plan.flags.get("durable", False),
                    "auto_delete": plan.flags.get("auto_delete", False),
                    "arguments": plan.arguments,
                }
            ],
            "exchanges": [
                {
                    "name": exchange.name,
                    "type": exchange.kind,
                    "durable": exchange.flags.get("durable", False),
                    "auto_delete": exchange.flags.get("auto_delete", False),
                    "internal": exchange.flags.get("internal", False),
                    "arguments": exchange.arguments,
                }
            ],
            "bindings": [],
        }
        if exchange.kind != "headers":
            document["bindings"] = [
                {
                    "source": exchange.name,
                    "destination": plan.name,
                    "destination_type": "queue",
                    "routing_key": self._random.choice(("a", "b")),
                    "arguments": {},
                }
            ]
        self._ask("POST", path("definitions", ROOT), document)

    # users and vhosts

    def _make_user(self) -> None:
        self._ask("PUT", path("users", self.user), {"password": PASSWORD, "tags": ""})
        self._ask("PUT", path("permissions", ROOT, self.user), ALL)

    def _permissions(self) -> None:
        where = path("permissions", ROOT, self.user)
        if self._may(0.15):
            self._ask("DELETE", where)
            self._ask("PUT", where, ALL)
        else:
            self._ask("PUT", where, self._random.choice(_PERMISSIONS))
        self._script.close_channels_of(self.user)

    def _close_connections(self) -> None:
        self._ask("DELETE", path("connections", "username", self.user))
        self._script.restart_channels_of(self.user)

    def _delete_user(self) -> None:
        if "tx" in self._has:
            return
        self._ask("DELETE", path("users", self.user))
        self._make_user()
        self._script.restart_channels_of(self.user)

    def _in_vhost(self) -> None:
        """Use the vhost of the script, over AMQP or over HTTP."""
        on, queue = f"{self.vhost}/1", self._queue_of_vhost
        choice = self._random.random()
        if choice < 0.2:
            self._script.steps.append(Step(on, "queue", {"name": queue}))
        elif choice < 0.35:
            self._script.steps.append(Step(on, "consume", {"queue": queue, "tag": "t1", "no_ack": True}))
        elif choice < 0.45:
            self._script.steps.append(Step(on, "publish", {"exchange": "", "key": queue, "body": self._script.body()}))
        elif choice < 0.6:
            self._ask("PUT", path("queues", self.vhost, queue), {})
        elif choice < 0.7:
            self._ask("DELETE", path("queues", self.vhost, queue))
        elif choice < 0.85:
            body = {"routing_key": queue, "properties": {}, "payload": "v", "payload_encoding": "string"}
            self._ask("POST", path("exchanges", self.vhost, "amq.default", "publish"), body)
        else:
            body = {"count": 1, "ackmode": self._random.choice(_ACK_MODES), "encoding": "auto"}
            self._ask("POST", path("queues", self.vhost, queue, "get"), body)

    def _delete_vhost(self) -> None:
        self._ask("DELETE", path("vhosts", self.vhost))
        self._ask("PUT", path("vhosts", self.vhost), {})
