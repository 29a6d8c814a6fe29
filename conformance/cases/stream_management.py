"""Streams: the management API, policies, events, permissions and limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from conformance.cases.access import as_user, member
from conformance.cases.event import Events
from conformance.cases.policy import operator_policy, policy
from conformance.cases.queue_arguments import EVERY_TYPE, short
from conformance.cases.stream import STREAM, declare, fill, read, stream
from conformance.client import CLOSED
from conformance.lab import Lab
from conformance.registry import MANAGEMENT, case, family
from conformance.values import Value

NEEDS = (MANAGEMENT,)

#: Fields of a queue whose values do not depend on time or machine.
FIELDS = (
    "name",
    "vhost",
    "type",
    "durable",
    "auto_delete",
    "exclusive",
    "arguments",
    "state",
    "node",
    "leader",
    "members",
    "online",
    "segments",
    "messages",
    "messages_ready",
    "messages_unacknowledged",
    "consumers",
    "policy",
    "operator_policy",
    "effective_policy_definition",
)
#: Fields of other types of queue.
ABSENT = (
    "message_bytes",
    "message_bytes_ready",
    "messages_persistent",
    "messages_ram",
    "exclusive_consumer_tag",
    "single_active_consumer_tag",
    "consumer_capacity",
    "consumer_utilisation",
    "head_message_timestamp",
    "backing_queue_status",
    "storage_version",
    "open_files",
    "delivery_limit",
    "owner_pid_details",
    "idle_since",
)


def of(name: str, vhost: str = "/") -> str:
    """Return the path of a queue."""
    return f"queues/{quote(vhost, safe='')}/{quote(name, safe='')}"


def answer(lab: Lab, method: str, path: str, body: Any = None) -> list[Any]:
    """Return status and JSON of a request as a transcript has them, also for errors."""
    status, found = lab.management.answer(method, path, body)
    return [status, ordered(found)]


def ordered(value: Any, node: str = "") -> Any:
    """Return JSON with sorted keys, since their order means nothing, and a placeholder for the name of the node."""
    if isinstance(value, dict):
        return {key: ordered(value[key], node) for key in sorted(value)}
    if isinstance(value, list):
        return [ordered(one, node) for one in value]
    return "<node>" if node and value == node else value


def shown(found: dict[str, Any], fields: tuple[str, ...]) -> Any:
    """Return these fields of a queue."""
    return ordered({field: found.get(field, "absent") for field in fields}, found.get("node", ""))


def fetched(lab: Lab, path: str, ready: Callable[[Any], bool]) -> Any:
    """Return JSON once it is as expected, since statistics are five seconds late, or as it is after some time."""
    deadline = lab.network.now_s() + 20
    while True:
        found = lab.management.call("GET", path)
        if ready(found) or lab.network.now_s() > deadline:
            return found
        lab.network.sleep(0.1)


def counted(lab: Lab, messages: int, consumers: int = 0) -> dict[str, Any]:
    """Return the stream of the case once the statistics have these counts."""
    wanted = (messages, consumers)
    found: dict[str, Any] = fetched(
        lab, of(lab.q()), lambda it: (it.get("messages"), it.get("consumers"), "policy" in it) == (*wanted, True)
    )
    return found


# Queues. Each case cancels its consumers, since RabbitMQ counts those of a closed channel for minutes.


@case(requires=NEEDS)
def queue(lab: Lab) -> None:
    """The fields of a stream."""
    ch = stream(lab, max_age="1h", stream_filter_size_bytes=32)
    fill(ch, lab.q(), 3)
    reader = read(lab, 2, offset="first")
    reader.deliveries(2)
    found = counted(lab, 3, 1)
    lab.observe("queue", shown(found, FIELDS))
    lab.observe("readers", sum(found["readers"].values()))
    lab.observe("fields of others", [field for field in ABSENT if field in found])
    reader.cancel("a")


@case(requires=NEEDS)
def queue_without_messages(lab: Lab) -> None:
    """An empty stream has a segment."""
    stream(lab)
    found = fetched(lab, of(lab.q()), lambda it: "segments" in it)
    lab.observe("queue", {field: found[field] for field in ("messages", "segments")})


@case(requires=NEEDS)
def queue_in_the_list(lab: Lab) -> None:
    """The fields of a stream in the list of all queues."""
    ch = stream(lab)
    fill(ch, lab.q(), 3)
    reader = read(lab, 2, offset="first")
    reader.deliveries(2)
    counted(lab, 3, 1)
    found = next(one for one in lab.management.call("GET", "queues/%2F") if one["name"] == lab.q())
    lab.observe("queue", shown(found, FIELDS[:-3]))
    reader.cancel("a")


@case(requires=NEEDS)
def queue_without_statistics(lab: Lab) -> None:
    """The fields of a stream if the request turns statistics off."""
    stream(lab)
    found = lab.management.call("GET", of(lab.q()) + "?disable_stats=true")
    lab.observe("queue", shown(found, FIELDS[:12]))


@case(requires=NEEDS)
def queue_counts(lab: Lab) -> None:
    """Messages stay ready after they are delivered and settled; none is unacknowledged."""
    ch = stream(lab)
    fill(ch, lab.q(), 5)
    reader = read(lab, 4, offset="first")
    reader.deliveries(4)
    for settled in (0, 2, 4):
        if settled:
            reader.ack(settled, multiple=True)
        found = counted(lab, 5, 1)
        counts = ("messages", "messages_ready", "messages_unacknowledged")
        lab.observe(f"counts with {settled} settled", [found[field] for field in counts])
        if settled == 2:
            reader.deliveries(1)
    reader.cancel("a")


@case(requires=NEEDS)
def queue_consumers(lab: Lab) -> None:
    """Counts of consumers, which AMQP never shows."""
    stream(lab)
    readers = [read(lab, tag=tag) for tag in "ab"]
    lab.observe("two", counted(lab, 0, 2)["consumers"])
    readers[0].cancel("a")
    lab.observe("one", counted(lab, 0, 1)["consumers"])
    readers[1].cancel("b")
    lab.observe("none", counted(lab, 0, 0)["consumers"])
    lab.channel().queue(lab.q(), passive=True)


@case(requires=NEEDS)
def queue_message_stats(lab: Lab) -> None:
    """Totals of publishes, deliveries and acknowledgements; other ways of settling are not counted."""
    ch = stream(lab)
    fill(ch, lab.q(), 6)
    reader = read(lab, 4, offset="first")
    reader.deliveries(4)
    reader.ack(2, multiple=True)
    reader.reject(3, requeue=True)
    reader.nack(4, requeue=False)
    reader.deliveries(2)
    found = fetched(
        lab,
        of(lab.q()),
        lambda it: [it.get("message_stats", {}).get(key) for key in ("publish", "deliver", "ack")] == [6, 6, 2],
    )
    totals = {key: value for key, value in found["message_stats"].items() if not key.endswith("_details")}
    lab.observe("totals", ordered(totals))
    reader.cancel("a")


@case(requires=NEEDS)
def consumers(lab: Lab) -> None:
    """Consumers of a stream, which are never active."""
    stream(lab)
    ch = lab.channel()
    ch.qos(7)
    ch.consume(lab.q(), "a", exclusive=True, arguments={"x-stream-offset": 5, "x-stream-filter": ["b", "c"]})
    ch.consume(lab.q(), "b")

    def of_the_stream(found: Any) -> list[Any]:
        return sorted((one for one in found if one["queue"]["name"] == lab.q()), key=lambda one: one["consumer_tag"])

    found = of_the_stream(fetched(lab, "consumers/%2F", lambda it: len(of_the_stream(it)) == 2))
    without = [{key: value for key, value in one.items() if key != "channel_details"} for one in found]
    lab.observe("consumers", ordered(without))
    for tag in "ab":
        ch.cancel(tag)


@case(requires=NEEDS)
def consumers_after_a_bad_offset(lab: Lab) -> None:
    """A consumer that was refused is not in the statistics."""
    stream(lab)
    read(lab, offset="1x")
    lab.sleep(6)
    found = lab.management.call("GET", "consumers/%2F")
    lab.observe("consumers", len([one for one in found if one["queue"]["name"] == lab.q()]))


@family(
    {
        "get": ("POST", "/get", {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}),
        "purge": ("DELETE", "/contents", None),
        "delete": ("DELETE", "", None),
        "delete_if_empty": ("DELETE", "?if-empty=true", None),
        "delete_if_unused": ("DELETE", "?if-unused=true", None),
        "action_sync": ("POST", "/actions", {"action": "sync"}),
        "bindings": ("GET", "/bindings", None),
    },
    requires=NEEDS,
)
def request(lab: Lab, method: str, path: str, body: Any) -> None:
    """Requests to a stream that has a message and a consumer."""
    ch = stream(lab)
    fill(ch, lab.q(), 1)
    lab.wait_ready(lab.q(), 1)
    reader = read(lab, offset="first")
    reader.deliveries(1)
    lab.observe("answer", answer(lab, method, of(lab.q()) + path, body))
    if path.startswith("/"):
        fill(ch, lab.q(), 1, start=1)
        reader.deliveries(1)
    else:
        reader.wait("basic.cancel")


@case(requires=NEEDS)
def published(lab: Lab) -> None:
    """A message that is published by HTTP."""
    stream(lab)
    body = {"properties": {"headers": {"a": 1}}, "routing_key": lab.q(), "payload": "m", "payload_encoding": "string"}
    lab.observe("answer", answer(lab, "POST", "exchanges/%2F/amq.default/publish", body))
    read(lab, offset="first").deliveries(1)


@family(
    {
        "plain": ({"durable": True}, {}),
        "without_durable": ({}, {}),
        "transient": ({"durable": False}, {}),
        "auto_delete": ({"durable": True, "auto_delete": True}, {}),
        "max_age": ({"durable": True}, {"x-max-age": "1h"}),
        "max_age_bad": ({"durable": True}, {"x-max-age": "1x"}),
        "max_age_number": ({"durable": True}, {"x-max-age": 5}),
        "message_ttl": ({"durable": True}, {"x-message-ttl": 5}),
        "segment_size": ({"durable": True}, {"x-stream-max-segment-size-bytes": 5000}),
        "segment_size_too_large": ({"durable": True}, {"x-stream-max-segment-size-bytes": 3_000_000_001}),
        "filter_size": ({"durable": True}, {"x-stream-filter-size-bytes": 32}),
        "filter_size_bad": ({"durable": True}, {"x-stream-filter-size-bytes": 5}),
        "cluster_size_zero": ({"durable": True}, {"x-initial-cluster-size": 0}),
        "locator_bad": ({"durable": True}, {"x-queue-leader-locator": "no"}),
    },
    requires=NEEDS,
)
def declared(lab: Lab, flags: dict[str, Any], arguments: dict[str, Any]) -> None:
    """Streams that are declared by HTTP, twice, and then by AMQP without further arguments."""
    lab.hide(lab.q())
    for what in ("first", "again"):
        lab.observe(what, answer(lab, "PUT", of(lab.q()), flags | {"arguments": STREAM | arguments}))
    declare(lab, STREAM)


@case(requires=NEEDS)
def declared_with_a_crash(lab: Lab) -> None:
    """A value that crashes the channel of AMQP: only the status, since the reason is a stack trace."""
    lab.observe(
        "status", lab.management.status("PUT", of(lab.q()), {"durable": True, "arguments": STREAM | {"x-max-age": "a"}})
    )


@case(requires=NEEDS)
def stream_plugin(lab: Lab) -> None:
    """Resources of the stream plugin, which is not there."""
    for path in ("stream/connections", "stream/consumers", "stream/publishers", "stream/super-streams"):
        lab.observe(path, lab.management.status("GET", path))


# Policies

TEXTS: dict[str, tuple[str, Any]] = {
    "max_age": ("max-age", "1h"),
    "max_age_years": ("max-age", "2Y"),
    "max_age_bad": ("max-age", "1x"),
    "max_age_zero": ("max-age", "0s"),
    "max_age_no_unit": ("max-age", "5"),
    "max_age_number": ("max-age", 5),
    "max_age_table": ("max-age", {}),
    "max_length_bytes": ("max-length-bytes", 5),
    "max_length_bytes_negative": ("max-length-bytes", -1),
    "max_length_bytes_text": ("max-length-bytes", "5"),
    "segment_size": ("stream-max-segment-size-bytes", 5000),
    "segment_size_zero": ("stream-max-segment-size-bytes", 0),
    "segment_size_most": ("stream-max-segment-size-bytes", 3_000_000_000),
    "segment_size_too_large": ("stream-max-segment-size-bytes", 3_000_000_001),
    "segment_size_negative": ("stream-max-segment-size-bytes", -1),
    "segment_size_text": ("stream-max-segment-size-bytes", "5000"),
    "filter_size": ("stream-filter-size-bytes", 16),
    "filter_size_most": ("stream-filter-size-bytes", 255),
    "filter_size_small": ("stream-filter-size-bytes", 5),
    "filter_size_large": ("stream-filter-size-bytes", 256),
    "filter_size_text": ("stream-filter-size-bytes", "16"),
    "cluster_size": ("initial-cluster-size", 1),
    "cluster_size_zero": ("initial-cluster-size", 0),
    "cluster_size_text": ("initial-cluster-size", "1"),
    "locator": ("queue-leader-locator", "balanced"),
    "locator_bad": ("queue-leader-locator", "no"),
    "filter": ("stream-filter", "a"),
    "x_max_age": ("x-max-age", "1h"),
}


@family(TEXTS, requires=NEEDS)
def policy_of(lab: Lab, key: str, value: Any) -> None:
    """Values of the keys of streams in policies and operator policies."""
    for kind in ("policies", "operator-policies"):
        path = f"{kind}/%2F/{lab.name('p')}"
        body = {"pattern": "^" + lab.name("").replace(".", "\\."), "definition": {key: value}, "apply-to": "streams"}
        lab.observe(kind, answer(lab, "PUT", path, body))
        lab.management.status("DELETE", path)


@family({"max_age_text": ("abc",), "max_age_empty": ("",), "max_age_negative": ("-1h",)}, requires=NEEDS)
def policy_without_digits(lab: Lab, value: str) -> None:
    """A max-age without a digit in front: only the status, since the reason may be a stack trace."""
    path = f"policies/%2F/{lab.name('p')}"
    body = {"pattern": "^" + lab.name("").replace(".", "\\."), "definition": {"max-age": value}}
    lab.observe("status", lab.management.status("PUT", path, body))
    lab.management.status("DELETE", path)


@family(
    {
        "all": ({"max-age": "1h"}, {"apply_to": "all"}),
        "queues": ({"max-age": "1h"}, {"apply_to": "queues"}),
        "streams": ({"max-age": "1h", "max-length-bytes": 5000}, {"apply_to": "streams"}),
        "classic_queues": ({"max-length-bytes": 5000}, {"apply_to": "classic_queues"}),
        "quorum_queues": ({"max-length-bytes": 5000}, {"apply_to": "quorum_queues"}),
        "exchanges": ({"alternate-exchange": "x"}, {"apply_to": "exchanges"}),
        "message_ttl": ({"max-age": "1h", "message-ttl": 5}, {}),
        "max_length": ({"max-age": "1h", "max-length": 5}, {}),
        "overflow": ({"max-age": "1h", "overflow": "drop-head"}, {}),
        "expires": ({"max-age": "1h", "expires": 600_000}, {}),
        "dead_letter": ({"max-age": "1h", "dead-letter-exchange": "x"}, {}),
        "delivery_limit": ({"max-age": "1h", "delivery-limit": 5}, {}),
        "consumer_timeout": ({"max-age": "1h", "consumer-timeout": 600_000}, {}),
        "alternate_exchange": ({"max-age": "1h", "alternate-exchange": "x"}, {}),
        "everything": (
            {
                "max-age": "1h",
                "max-length-bytes": 5000,
                "stream-max-segment-size-bytes": 5000,
                "stream-filter-size-bytes": 32,
                "queue-leader-locator": "balanced",
                "initial-cluster-size": 1,
            },
            {},
        ),
    },
    requires=NEEDS,
)
def policy_shown(lab: Lab, definition: dict[str, Any], more: dict[str, Any]) -> None:
    """The policy of a stream: none if it has a key that streams do not support."""
    policy(lab, definition, **more)
    stream(lab)
    found = counted(lab, 0)
    lab.observe("shown", shown(found, FIELDS[-3:]))


@case(requires=NEEDS)
def policy_of_lower_priority(lab: Lab) -> None:
    """Below a policy that does not fit streams, another applies or not."""
    policy(lab, {"max-age": "1h", "message-ttl": 5}, short="p1", priority=5)
    policy(lab, {"max-age": "2h"}, short="p2", priority=1)
    stream(lab)
    found = counted(lab, 0)
    lab.observe("shown", shown(found, FIELDS[-3:]))


@case(requires=NEEDS)
def policy_of_operator(lab: Lab) -> None:
    """A policy and an operator policy together."""
    policy(lab, {"max-age": "1h", "max-length-bytes": 5000})
    operator_policy(lab, {"max-length-bytes": 3000})
    stream(lab)
    found = fetched(lab, of(lab.q()), lambda it: it.get("operator_policy") is not None)
    lab.observe("shown", shown(found, FIELDS[-3:]))


@case(requires=NEEDS)
def redeclared_with_a_policy(lab: Lab) -> None:
    """Declaring again compares arguments, not the policy."""
    policy(lab, {"max-age": "1h"})
    stream(lab)
    declare(lab, STREAM)
    declare(lab, STREAM | {"x-max-age": "1h"})


# Definitions


@case(requires=NEEDS)
def definitions(lab: Lab) -> None:
    """A stream in the definitions of a vhost: with its arguments, without messages."""
    vhost = lab.name("vhost")
    lab.management.vhost(vhost)
    ch = lab.channel(lab.connect(vhost=vhost))
    ch.queue("q", durable=True, arguments=STREAM | {"x-max-age": "1h", "x-stream-filter-size-bytes": Value("B", 32)})
    ch.bind("q", "amq.topic", "a.#")
    found = lab.management.call("GET", f"definitions/{vhost}")
    lab.observe("definitions", ordered({key: found[key] for key in ("queues", "bindings")}))


@case(requires=NEEDS)
def definitions_imported(lab: Lab) -> None:
    """A stream that is imported, and declared again by a client."""
    vhost = lab.name("vhost")
    lab.management.vhost(vhost)
    arguments = STREAM | {"x-max-age": "1h", "x-stream-max-segment-size-bytes": 5000}
    imported = {"name": "q", "durable": True, "auto_delete": False, "arguments": arguments}
    lab.observe("answer", answer(lab, "POST", f"definitions/{vhost}", {"queues": [imported]}))
    ch = lab.channel(lab.connect(vhost=vhost))
    ch.queue("q", durable=True, arguments=arguments)
    ch.confirm()
    fill(ch, "q", 1)
    ch.qos(1)
    ch.consume("q", "a", arguments={"x-stream-offset": "first"})
    ch.deliveries(1)


@family(
    {
        "transient": ({"durable": False, "arguments": STREAM},),
        "max_age_bad": ({"durable": True, "arguments": STREAM | {"x-max-age": "1x"}},),
        "message_ttl": ({"durable": True, "arguments": STREAM | {"x-message-ttl": 5}},),
    },
    requires=NEEDS,
)
def definitions_refused(lab: Lab, body: dict[str, Any]) -> None:
    """Streams that cannot be imported, and what there is then."""
    vhost = lab.name("vhost")
    lab.management.vhost(vhost)
    imported = {"name": "q", "auto_delete": False} | body
    lab.observe("status", lab.management.status("POST", f"definitions/{vhost}", {"queues": [imported]}))
    lab.channel(lab.connect(vhost=vhost)).queue("q", passive=True)


# The type by default


@family(
    {
        "durable": ({"durable": True}, {}),
        "transient": ({}, {}),
        "exclusive": ({"durable": True, "exclusive": True}, {}),
        "auto_delete": ({"durable": True, "auto_delete": True}, {}),
        "classic": ({"durable": True}, {"x-queue-type": "classic"}),
        "argument_of_others": ({"durable": True}, {"x-message-ttl": 5}),
        "max_age": ({"durable": True}, {"x-max-age": "1h"}),
    },
    requires=NEEDS,
)
def default_type(lab: Lab, flags: dict[str, bool], arguments: dict[str, Any]) -> None:
    """Queues of a vhost whose default type is stream: the type is seen by get, which streams refuse."""
    vhost = lab.name("vhost")
    lab.management.vhost(vhost, default_queue_type="stream")
    ch = lab.channel(lab.connect(vhost=vhost))
    if ch.queue("q", arguments=arguments, **flags).name == "queue.declare-ok":
        ch.queue("q", arguments=arguments, **flags)
        ch.get("q")


@case(requires=NEEDS)
def default_type_server_named(lab: Lab) -> None:
    """A server-named queue in a vhost whose default type is stream."""
    vhost = lab.name("vhost")
    lab.management.vhost(vhost, default_queue_type="stream")
    lab.channel(lab.connect(vhost=vhost)).queue("", exclusive=True)
    lab.channel(lab.connect(vhost=vhost)).queue("", durable=True)


# Permissions and limits


@family(
    {
        "consume": ({"read": "^$"}, "consume"),
        "consume_bad_offset": ({"read": "^$"}, "consume_bad_offset"),
        "get": ({"read": "^$"}, "get"),
        "purge": ({"read": "^$"}, "purge"),
        "declare": ({"configure": "^$"}, "declare"),
        "declare_bad": ({"configure": "^$"}, "declare_bad"),
        "delete": ({"configure": "^$"}, "delete"),
        "publish": ({"write": "^$"}, "publish"),
    },
    requires=NEEDS,
)
def permission(lab: Lab, rights: dict[str, str], what: str) -> None:
    """Permissions come before the refusals of streams."""
    stream(lab)
    ch = as_user(lab, member(lab, **rights))
    match what:
        case "consume" | "consume_bad_offset":
            ch.qos(1)
            ch.consume(lab.q(), "a", arguments={"x-stream-offset": "1x" if "bad" in what else "first"})
        case "get":
            ch.get(lab.q())
        case "purge":
            ch.purge(lab.q())
        case "declare" | "declare_bad":
            bad = {"x-max-age": "1x"} if "bad" in what else {}
            ch.queue(lab.q("new"), durable=True, arguments=STREAM | bad)
        case "delete":
            ch.delete(lab.q())
        case _:
            ch.publish("", lab.q())
            ch.closed()


@case(requires=NEEDS)
def limit_of_queues(lab: Lab) -> None:
    """Streams count as queues of their vhost."""
    vhost = lab.name("vhost")
    lab.management.vhost(vhost)
    lab.management.vhost_limit(vhost, "max-queues", 1)
    connection = lab.connect(vhost=vhost)
    lab.channel(connection).queue("q1", durable=True, arguments=STREAM)
    lab.channel(connection).queue("q1", durable=True, arguments=STREAM)
    lab.channel(connection).queue("q2", durable=True, arguments=STREAM)


@case(requires=NEEDS)
def vhost_deleted(lab: Lab) -> None:
    """A vhost is deleted with its streams; created anew it has none."""
    vhost = lab.name("vhost")
    lab.management.vhost(vhost)
    connection = lab.connect(vhost=vhost)
    ch = lab.channel(connection)
    ch.queue("q", durable=True, arguments=STREAM)
    ch.confirm()
    fill(ch, "q", 1)
    lab.management.call("DELETE", f"vhosts/{vhost}")
    connection.wait(0, "connection.close", CLOSED)
    lab.management.vhost(vhost)
    lab.channel(lab.connect(vhost=vhost)).queue("q", passive=True)


# Consumer timeouts


@family({"argument": ({"x-consumer-timeout": 1000}, {}), "policy": ({}, {"consumer-timeout": 1000})}, requires=NEEDS)
def consumer_timeout(lab: Lab, arguments: dict[str, Any], definition: dict[str, Any]) -> None:
    """A reader that settles nothing for too long loses its channel."""
    if definition:
        policy(lab, definition)
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments=STREAM | arguments)
    lab.hide(lab.q())
    ch.confirm()
    fill(ch, lab.q(), 2)
    reader = read(lab, offset="first")
    reader.deliveries(2)
    reader.ack(2)
    reader.connection.wait(reader.number, "channel.close", within_s=130)


# Events and traces


@family(
    {
        "plain": ({},),
        "arguments": ({"x-max-age": "1h", "x-stream-filter-size-bytes": 32},),
    },
    requires=NEEDS,
)
def event_of_queue(lab: Lab, arguments: dict[str, Any]) -> None:
    """Events of a stream that is declared, declared again, and deleted."""
    events = Events(lab)
    ch = lab.channel(lab.connect(vhost=events.vhost))
    lab.wait_ready(lab.q("told"), 2)
    for _ in range(2):
        ch.queue("q", durable=True, arguments=STREAM | arguments)
    ch.delete("q")
    events.observe(4)


@case(requires=NEEDS)
def event_of_consumer(lab: Lab) -> None:
    """Events of a consumer of a stream: only its end."""
    events = Events(lab)
    ch = lab.channel(lab.connect(vhost=events.vhost))
    lab.wait_ready(lab.q("told"), 2)
    ch.queue("q", durable=True, arguments=STREAM)
    ch.qos(7)
    ch.consume("q", "one", arguments={"x-stream-offset": "first"})
    ch.cancel("one")
    ch.delete("q")
    events.observe(5)


@family({short(name): (name,) for name in ("x-max-age", "x-max-length-bytes")}, requires=NEEDS)
def arguments_shown(lab: Lab, argument: str) -> None:
    """Arguments of a stream as they are shown, whatever their wire type."""
    values = {
        name: value for name, value in EVERY_TYPE.items() if name in ("int8", "uint16", "int32", "int64", "uint32")
    }
    if argument == "x-max-age":
        values = {"hour": "1h", "zeros": "001h"}
    for name, value in values.items():
        declare(lab, STREAM | {argument: value}, name)
        found = lab.management.call("GET", of(lab.q(name)) + "?disable_stats=true")
        lab.observe(name, ordered(found["arguments"]))


@case(requires=NEEDS)
def traced(lab: Lab) -> None:
    """The firehose is told what is published to a stream, and what is delivered by it."""
    vhost = lab.name("vhost")
    lab.management.vhost(vhost)
    connection = lab.connect(vhost=vhost)
    watch, ch = lab.channel(connection), lab.channel(connection)
    watch.queue("traces")
    watch.bind("traces", "amq.rabbitmq.trace", "#")
    watch.consume("traces", "watch", no_ack=True)
    ch.queue("q", durable=True, arguments=STREAM)
    ch.qos(5)
    ch.consume("q", "a", arguments={"x-stream-offset": "first"})
    lab.management.call("PUT", f"vhosts/{vhost}", {"tracing": True})
    ch.publish("", "q", "m", headers={"own": 1}, delivery_mode=2)
    ch.deliveries(1)
    watch.deliveries(2)
