"""Direct reply-to (2.14)."""

from __future__ import annotations

import base64
from typing import Any

from conformance.lab import Lab
from conformance.registry import case, family

PSEUDO = "amq.rabbitmq.reply-to"


@case()
def request_and_reply(lab: Lab) -> None:
    """The request carries a name of its own, and the answer comes to the requester's consumer."""
    client, server = lab.channel(), lab.channel(lab.connect())
    server.queue(lab.q())
    server.consume(lab.q(), "server", no_ack=True)
    client.consume(PSEUDO, "client", no_ack=True)
    client.publish("", lab.q(), "question", reply_to=PSEUDO, correlation_id="1", headers={"a": 1})
    name = server.deliveries(1)[0].properties or {}
    server.publish("", name.get("reply_to", ""), "answer", correlation_id="1", headers={"b": 2})
    server.publish("", name.get("reply_to", ""), "second answer", mandatory=True)
    client.deliveries(2)
    lab.quiet()


@case()
def probe(lab: Lab) -> None:
    """The responder may ask with a passive declare whether the requester is still there."""
    client, server = lab.channel(), lab.channel(lab.connect())
    server.queue(lab.q())
    client.consume(PSEUDO, "client", no_ack=True)
    client.publish("", lab.q(), reply_to=PSEUDO)
    got = server.get_when_there(lab.q(), no_ack=True)
    name = (got.properties or {}).get("reply_to", "")
    server.queue(name, passive=True)
    server.queue(name)
    client.close()
    lab.quiet()
    server.queue(name, passive=True)


@family(
    {
        "nothing": ("amq.rabbitmq.reply-to.",),
        "one_part": ("amq.rabbitmq.reply-to.abc",),
        "no_dot": ("amq.rabbitmq.reply-tox",),
        "two_dots": ("amq.rabbitmq.reply-to..",),
        "not_base64": ("amq.rabbitmq.reply-to.abc.def",),
        "no_process": ("amq.rabbitmq.reply-to.aGVsbG8=.aGVsbG8=",),
    }
)
def probe_malformed(lab: Lab, name: str) -> None:
    """Active and passive declare of a malformed direct-reply queue name."""
    for passive in (True, False):
        ch = lab.channel(lab.connect())
        ch.queue(name, passive=passive)
        lab.quiet()


@case()
def probe_with_another_key(lab: Lab) -> None:
    """Declare of a connected requester's name with the second part missing, changed or extended."""
    client, server = lab.channel(), lab.channel(lab.connect())
    server.queue(lab.q())
    client.consume(PSEUDO, "client", no_ack=True)
    client.publish("", lab.q(), reply_to=PSEUDO)
    got = server.get_when_there(lab.q(), no_ack=True)
    name = str((got.properties or {}).get("reply_to", ""))
    process, _, key = name.rpartition(".")
    lab.observe("parts of the name", name.count("."))
    lab.observe("octets of its key", len(base64.b64decode(key, validate=True)))
    lab.observe("its process begins with", base64.b64decode(process.rpartition(".")[2], validate=True)[:4].hex())
    for wrong in (f"{process}.{22 * 'A'}==", f"{name}.x"):
        probing = lab.channel()
        probing.queue(wrong, passive=True)
    server.publish("", f"{process}.{22 * 'A'}==", "to nobody", mandatory=True)
    server.wait("basic.return")
    lab.quiet()


@case()
def probe_then_the_last_queue(lab: Lab) -> None:
    """Use of the last declared queue after a passive declare of a requester's name."""
    client, server = lab.channel(), lab.channel(lab.connect())
    server.queue(lab.q())
    client.consume(PSEUDO, "client", no_ack=True)
    client.publish("", lab.q(), reply_to=PSEUDO)
    got = server.get_when_there(lab.q(), no_ack=True)
    server.queue(str((got.properties or {}).get("reply_to", "")), passive=True)
    server.purge("")


@case()
def requester_gone(lab: Lab) -> None:
    """An answer to nobody vanishes."""
    client, server = lab.channel(), lab.channel(lab.connect())
    server.queue(lab.q())
    client.consume(PSEUDO, "client", no_ack=True)
    client.publish("", lab.q(), reply_to=PSEUDO)
    got = server.get_when_there(lab.q(), no_ack=True)
    name = (got.properties or {}).get("reply_to", "")
    client.close()
    lab.quiet()
    server.confirm()
    server.publish_confirmed("", name, "nobody")
    server.publish_confirmed("", name, "nobody", mandatory=True)


@case()
def with_ack(lab: Lab) -> None:
    """The reply consumer cannot ack."""
    lab.channel().consume(PSEUDO, "client")


@case()
def twice(lab: Lab) -> None:
    """One reply consumer a channel."""
    ch = lab.channel()
    ch.consume(PSEUDO, "one", no_ack=True)
    ch.consume(PSEUDO, "two", no_ack=True)


@case()
def tag_in_use(lab: Lab) -> None:
    """The reply consumer's tag counts among the channel's tags."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.consume(PSEUDO, "a", no_ack=True)
    ch.consume(lab.q(), "a")


@case()
def server_made_tag(lab: Lab) -> None:
    """An empty tag."""
    ch = lab.channel()
    ch.consume(PSEUDO, no_ack=True)


@case()
def cancelled_and_set_again(lab: Lab) -> None:
    """After a cancel it may be set again."""
    ch = lab.channel()
    ch.consume(PSEUDO, "one", no_ack=True)
    ch.cancel("one")
    ch.consume(PSEUDO, "two", no_ack=True)


@case()
def publish_without_consumer(lab: Lab) -> None:
    """A request without a reply consumer."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q(), reply_to=PSEUDO)
    ch.closed()


@case()
def publish_after_cancel(lab: Lab) -> None:
    """A request after the reply consumer was cancelled."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.consume(PSEUDO, "one", no_ack=True)
    ch.cancel("one")
    ch.publish("", lab.q(), reply_to=PSEUDO)
    lab.quiet()


@case()
def consumer_on_other_channel(lab: Lab) -> None:
    """The reply consumer must be the publishing channel's."""
    other = lab.channel()
    other.consume(PSEUDO, "one", no_ack=True)
    ch = lab.channel()
    ch.publish("", lab.q(), reply_to=PSEUDO)
    ch.closed()


@case()
def other_reply_to_is_kept(lab: Lab) -> None:
    """Other reply-to values are left alone."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.consume(PSEUDO, "one", no_ack=True)
    ch.publish("", lab.q(), reply_to="amq.rabbitmq.reply-to.own")
    ch.publish("", lab.q(), reply_to="other")
    ch.sync()


@family({"get": ("basic.get",), "purge": ("queue.purge",), "delete": ("queue.delete",)})
def pseudo_queue(lab: Lab, method: str) -> None:
    """Other methods for the pseudo-queue."""
    lab.channel().call(method, queue=PSEUDO)


@case()
def pseudo_queue_bind(lab: Lab) -> None:
    """It cannot be bound."""
    lab.channel().bind(PSEUDO, "amq.direct", "k")


@case()
def publish_to_pseudo_queue(lab: Lab) -> None:
    """Publishing to the bare name."""
    ch = lab.channel()
    ch.consume(PSEUDO, "one", no_ack=True)
    ch.publish("", PSEUDO, "to nobody", mandatory=True)
    lab.quiet()


@family({"exclusive": ({"exclusive": True},), "no_local": ({"no_local": True},)})
def flags(lab: Lab, flags: dict[str, bool]) -> None:
    """Other flags of the reply consumer."""
    lab.channel().consume(PSEUDO, "one", no_ack=True, arguments=None, **flags)


@case()
def several_requests(lab: Lab) -> None:
    """All requests of a channel carry the same name; answers come in order."""
    client, server = lab.channel(), lab.channel(lab.connect())
    server.queue(lab.q())
    client.consume(PSEUDO, "client", no_ack=True)
    for number in range(3):
        client.publish("", lab.q(), str(number), reply_to=PSEUDO)
    client.sync()
    for _ in range(3):
        got = server.get_when_there(lab.q(), no_ack=True)
        server.publish("", (got.properties or {}).get("reply_to", ""), "answer")
    client.deliveries(3)


@case()
def request_in_confirm_mode(lab: Lab) -> None:
    """A confirmed request."""
    client = lab.channel()
    client.queue(lab.q())
    client.consume(PSEUDO, "client", no_ack=True)
    client.confirm()
    client.publish_confirmed("", lab.q(), reply_to=PSEUDO, mandatory=True)


@case()
def nowait(lab: Lab) -> None:
    """A reply consumer without a reply of its own."""
    ch, responder = lab.channel(), lab.channel()
    responder.queue(lab.q())
    ch.call("basic.consume", queue="amq.rabbitmq.reply-to", consumer_tag="r", no_ack=True, nowait=True)
    ch.publish("", lab.q(), "request", reply_to="amq.rabbitmq.reply-to")
    responder.get_when_there(lab.q(), no_ack=True)
    ch.cancel("r", nowait=True)
    ch.publish("", lab.q(), "request", reply_to="amq.rabbitmq.reply-to")
    ch.closed()


@case()
def answer_by_another_exchange(lab: Lab) -> None:
    """An answer that is published to another exchange under the reply's name, or copied to it by CC."""
    ch, responder = lab.channel(), lab.channel()
    responder.queue(lab.q())
    ch.consume("amq.rabbitmq.reply-to", "r", no_ack=True)
    ch.publish("", lab.q(), "request", reply_to="amq.rabbitmq.reply-to")
    got = responder.get_when_there(lab.q(), no_ack=True)
    name = (got.properties or {})["reply_to"]
    responder.publish("amq.direct", name, "by another exchange", mandatory=True)
    responder.wait("basic.return")
    responder.publish("", lab.q(), "by CC", headers={"CC": [name]})
    responder.get_when_there(lab.q(), no_ack=True)
    lab.quiet()


@case()
def request_with_every_property(lab: Lab) -> None:
    """A request keeps its other properties, and its headers are put in order."""
    client, server = lab.channel(), lab.channel(lab.connect())
    server.queue(lab.q())
    client.consume(PSEUDO, "client", no_ack=True)
    properties: dict[str, Any] = {
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "delivery_mode": 2,
        "priority": 3,
        "correlation_id": "1",
        "expiration": "60000",
        "message_id": "m-1",
        "timestamp": 1_700_000_000,
        "message_type": "order.created",
        "user_id": "guest",
        "app_id": "shop",
    }
    for headers in ({"a": 1, "b": "2"}, {"b": "2", "a": 1}, {}):
        client.publish("", lab.q(), "question", reply_to=PSEUDO, headers=headers, **properties)
    client.sync()
    for _ in range(3):
        server.get_when_there(lab.q(), no_ack=True)


@case()
def request_of_another_user_without_consumer(lab: Lab) -> None:
    """Which of the two mistakes in the properties is reported."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q(), reply_to=PSEUDO, user_id="somebody-else")
    ch.closed()


@case()
def request_of_another_user(lab: Lab) -> None:
    """The user-id of a request is checked."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.consume(PSEUDO, "one", no_ack=True)
    ch.publish("", lab.q(), reply_to=PSEUDO, user_id="somebody-else")
    ch.closed()
