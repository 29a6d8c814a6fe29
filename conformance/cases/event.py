"""Events: what amq.rabbitmq.event is told of what is made, changed and deleted, and by whom."""

from __future__ import annotations

from typing import Any

from conformance.lab import Lab
from conformance.registry import MANAGEMENT, case, family

NEEDS = (MANAGEMENT,)

#: Fields with names of processes and nodes, and with times, which the broker generates.
_INVENTED: tuple[str, ...] = (
    "channel",
    "cluster_state",
    "connected_at",
    "connection",
    "leader",
    "members",
    "node",
    "owner_pid",
    "pid",
)
_INVENTED += ("connection_name", "peer_port", "port", "timestamp_in_ms")


class Events:
    """The events of one vhost of the case's own, and those of things of one name, seen from `/` and unrecorded."""

    def __init__(self, lab: Lab, *names: str) -> None:
        self.lab = lab
        self.vhost = lab.name("vhost")
        lab.management.vhost(self.vhost)
        lab.q("told"), lab.x("told")
        ch = lab.janitor.channel()
        ch.exchange(lab.x("told"), "headers")
        ch.queue(lab.q("told"))
        for header, value in (("vhost", self.vhost), *[("name", name) for name in (self.vhost, *names)]):
            ch.bind(lab.q("told"), lab.x("told"), arguments={"x-match": "all", header: value})
        ch.exchange_bind(lab.x("told"), "amq.rabbitmq.event", "#")

    def api(self, method: str, path: str, body: Any = None) -> None:
        """A change through the management API; {v} in the path is the vhost."""
        self.lab.management.call(method, path.format(v=self.vhost), body)

    def observe(self, count: int) -> None:
        """Wait for so many, and put them into the transcript, without what the broker makes up."""
        self.lab.wait_ready(self.lab.q("told"), count)
        told = []
        for _ in range(count):
            got = self.lab.janitor.channel().get(self.lab.q("told"), no_ack=True)
            properties: dict[str, Any] = dict(got.properties or {})
            headers = {name: _shown(name, value) for name, value in properties.pop("headers").items()}
            del properties["timestamp"]
            told.append({"event": got.arguments["routing_key"], **properties, "headers": headers})
        self.lab.observe("told", told)


def _shown(name: str, value: Any) -> Any:
    if name not in _INVENTED:
        return value
    return f"{value.partition(':')[0]}:<{name}>" if isinstance(value, str) else f"<{name}>"


@family(
    {
        "classic": ({}, {"x-max-length": 5, "x-dead-letter-exchange": "dead"}),
        "quorum": ({"durable": True}, {"x-queue-type": "quorum"}),
        "auto_delete": ({"auto_delete": True}, {}),
        "exclusive": ({"exclusive": True}, {"x-message-ttl": 1000}),
    },
    requires=NEEDS,
)
def queue(lab: Lab, flags: dict[str, bool], arguments: dict[str, Any]) -> None:
    """A queue is declared, declared again, and deleted."""
    events = Events(lab)
    ch = lab.channel(lab.connect(vhost=events.vhost))
    events.lab.wait_ready(lab.q("told"), 2)
    for _ in range(2):
        ch.queue("q", arguments=arguments, **flags)
    ch.delete("q")
    events.observe(4)


@case(requires=NEEDS)
def queue_by_http(lab: Lab) -> None:
    """So it is through the API."""
    events = Events(lab)
    events.api("PUT", "queues/{v}/q", {"durable": True, "arguments": {"x-max-length": 5}})
    events.api("PUT", "exchanges/{v}/x", {"type": "topic"})
    events.api("POST", "bindings/{v}/e/x/q/q", {"routing_key": "k"})
    events.api("DELETE", "queues/{v}/q")
    events.observe(5)


@case(requires=NEEDS)
def expired(lab: Lab) -> None:
    """A queue that nobody uses goes, with its bindings."""
    events = Events(lab)
    ch = lab.channel(lab.connect(vhost=events.vhost))
    events.lab.wait_ready(lab.q("told"), 2)
    ch.queue("q", arguments={"x-expires": 200})
    ch.bind("q", "amq.topic", "a.#")
    events.observe(6)


@case(requires=NEEDS)
def exchange(lab: Lab) -> None:
    """An exchange with an argument and a policy."""
    events = Events(lab)
    events.api("PUT", "policies/{v}/p", {"pattern": "^x", "definition": {"alternate-exchange": "y"}})
    ch = lab.channel(lab.connect(vhost=events.vhost))
    for _ in range(2):
        ch.exchange("x", "direct", durable=True, arguments={"alternate-exchange": "amq.fanout", "n": 1})
    ch.exchange("z", "headers", internal=True)
    ch.exchange_delete("x")
    events.observe(8)


@case(requires=NEEDS)
def binding(lab: Lab) -> None:
    """To a queue, with arguments, and to an exchange."""
    events = Events(lab)
    ch = lab.channel(lab.connect(vhost=events.vhost))
    ch.queue("q")
    for _ in range(2):
        ch.bind("q", "amq.topic", "a.#", arguments={"n": 1, "t": {"a": [True, "x"]}})
    ch.unbind("q", "amq.topic", "a.#", arguments={"n": 1, "t": {"a": [True, "x"]}})
    ch.exchange_bind("amq.fanout", "amq.direct", "k")
    ch.exchange_unbind("amq.fanout", "amq.direct", "k")
    events.observe(8)


@case(requires=NEEDS)
def consumer(lab: Lab) -> None:
    """A consumer comes and goes, and an auto-delete queue with the last one."""
    events = Events(lab)
    ch = lab.channel(lab.connect(vhost=events.vhost))
    ch.queue("q", auto_delete=True)
    ch.qos(7)
    ch.consume("q", "one", exclusive=True, arguments={"x-priority": 3})
    ch.cancel("one")
    events.observe(6)


@case(requires=NEEDS)
def consumer_of_a_queue_that_goes(lab: Lab) -> None:
    """The order is not decided, so only the first is looked at."""
    events = Events(lab)
    ch = lab.channel(lab.connect(vhost=events.vhost))
    ch.queue("q")
    ch.consume("q", "one", no_ack=True)
    events.observe(4)


@case(requires=NEEDS)
def channels(lab: Lab) -> None:
    """A connection and its channels."""
    events = Events(lab)
    connection = lab.connect(vhost=events.vhost)
    lab.channel(connection, 7)
    events.observe(2)


@case(requires=NEEDS)
def user(lab: Lab) -> None:
    """A user is made, changed and deleted."""
    name = lab.name("user")
    events = Events(lab, name)
    for tags in ("management", "management,policymaker", ""):
        events.api("PUT", f"users/{name}", {"password": f"secret {tags}", "tags": tags})
    events.api("DELETE", f"users/{name}")
    events.observe(7)


@case(requires=NEEDS)
def user_limits(lab: Lab) -> None:
    """Limits of a user are told under the name `limits`, with the user's beside it."""
    name = lab.name("user")
    events = Events(lab)
    lab.janitor.channel().bind(lab.q("told"), lab.x("told"), arguments={"x-match": "all", "username": name})
    lab.management.user(name, "secret")
    events.api("PUT", f"user-limits/{name}/max-connections", {"value": 5})
    events.api("PUT", f"user-limits/{name}/max-channels", {"value": 6})
    events.api("DELETE", f"user-limits/{name}/max-connections")
    events.observe(3)


@case(requires=NEEDS)
def permissions(lab: Lab) -> None:
    """Permissions and topic permissions."""
    name = lab.name("user")
    events = Events(lab)
    lab.management.user(name, "secret")
    rights = {"configure": "c", "write": "w", "read": "r"}
    events.api("PUT", f"permissions/{{v}}/{name}", rights)
    events.api("PUT", f"permissions/{{v}}/{name}", rights | {"write": ".*"})
    events.api("PUT", f"topic-permissions/{{v}}/{name}", {"exchange": "amq.topic", "write": "w", "read": "r"})
    events.api("DELETE", f"topic-permissions/{{v}}/{name}")
    events.api("DELETE", f"permissions/{{v}}/{name}")
    events.observe(5)


@case(requires=NEEDS)
def policies(lab: Lab) -> None:
    """Policies and operator policies."""
    events = Events(lab)
    body = {"pattern": "^x", "definition": {"max-length": 5}, "priority": 1, "apply-to": "queues"}
    for kind in ("policies", "operator-policies"):
        events.api("PUT", kind + "/{v}/p", body)
        events.api("DELETE", kind + "/{v}/p")
    events.observe(6)


@case(requires=NEEDS)
def vhost_limits(lab: Lab) -> None:
    """Limits of a vhost, which are a parameter too."""
    events = Events(lab)
    events.api("PUT", "vhost-limits/{v}/max-queues", {"value": 5})
    events.api("PUT", "vhost-limits/{v}/max-connections", {"value": 6})
    events.observe(4)


@case(requires=NEEDS)
def global_parameter(lab: Lab) -> None:
    """A parameter that belongs to no vhost."""
    name = lab.name("parameter").replace(".", "_")
    events = Events(lab, name)
    events.api("PUT", f"global-parameters/{name}", {"name": name, "value": {"a": [1, 1.5, None, True, "x"]}})
    events.api("DELETE", f"global-parameters/{name}")
    events.observe(2)


@case(requires=NEEDS)
def vhost_updated(lab: Lab) -> None:
    """The properties of a vhost change."""
    events = Events(lab)
    events.api("PUT", "vhosts/{v}", {"description": "d", "tags": "a,b"})
    events.observe(1)
