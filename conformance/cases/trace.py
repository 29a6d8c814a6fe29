"""The firehose: what amq.rabbitmq.trace is told of messages that come and go in a vhost that is traced."""

from __future__ import annotations

from typing import Any

from conformance.channel import Channel
from conformance.decoder import Event
from conformance.lab import Lab
from conformance.registry import MANAGEMENT, case, family

NEEDS = (MANAGEMENT,)


class Bench:
    """A traced vhost of the case's own. ch: the channel that works, watch: the one that is given traces."""

    def __init__(self, lab: Lab, keys: tuple[str, ...] = ("#",), *, on: bool = True) -> None:
        self.lab = lab
        self.vhost = lab.name("vhost")
        lab.management.vhost(self.vhost)
        self.connection = lab.connect(vhost=self.vhost)
        self.watch = lab.channel(self.connection)
        self.watch.queue("traces")
        for key in keys:
            self.watch.bind("traces", "amq.rabbitmq.trace", key)
        self.watch.consume("traces", "watch", no_ack=True)
        self.ch = lab.channel(self.connection)
        self.trace(on)

    def trace(self, on: Any) -> None:
        """Switch it on or off."""
        self.lab.management.call("PUT", f"vhosts/{self.vhost}", {"tracing": on})

    def traces(self, count: int) -> list[Event]:
        """Wait for so many."""
        return self.watch.deliveries(count)


@case(requires=NEEDS)
def published_and_delivered(lab: Lab) -> None:
    """One message through a queue."""
    bench = Bench(lab)
    bench.ch.queue("q")
    bench.ch.consume("q", "tag", no_ack=True)
    bench.ch.publish("", "q", "hello", content_type="text/plain", delivery_mode=2)
    bench.ch.deliveries()
    bench.traces(2)


@case(requires=NEEDS)
def properties(lab: Lab) -> None:
    """Every property, and headers of many types, are told with types of their own."""
    bench = Bench(lab)
    bench.ch.queue("q")
    bench.ch.publish(
        "",
        "q",
        b"\xff\x00",
        content_type="application/json",
        content_encoding="identity",
        headers={"int": 1, "text": "x", "bytes": b"\xff\xfe", "table": {"b": True, "a": [1, "two"]}, "none": None},
        delivery_mode=1,
        priority=3,
        correlation_id="cor",
        reply_to="somewhere",
        expiration="60000",
        message_id="id",
        timestamp=1700000000,
        message_type="type",
        user_id="guest",
        app_id="app",
        cluster_id="cluster",
    )
    bench.traces(1)
    bench.ch.get("q", no_ack=True)
    bench.traces(1)


@case(requires=NEEDS)
def properties_at_their_largest(lab: Lab) -> None:
    """A timestamp that has no place in 32 bits, as headers of a trace have them."""
    bench = Bench(lab)
    bench.ch.publish("amq.direct", "k", "x", timestamp=5_000_000_000)
    bench.traces(1)


@case(requires=NEEDS)
def unroutable(lab: Lab) -> None:
    """A message that goes nowhere, mandatory or not."""
    bench = Bench(lab)
    bench.ch.publish("amq.direct", "nowhere", "1")
    bench.ch.publish("amq.direct", "nowhere", "2", mandatory=True)
    bench.ch.wait("basic.return")
    bench.traces(2)


@case(requires=NEEDS)
def refused(lab: Lab) -> None:
    """Messages that a full queue refuses are traced, other refused messages are not."""
    bench = Bench(lab)
    other = lab.channel(bench.connection)
    other.publish("nope", "k")
    other.closed()
    bench.ch.queue("q", arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    bench.ch.confirm()
    bench.ch.publish_confirmed("", "q")
    bench.traces(1)


@case(requires=NEEDS)
def several_queues(lab: Lab) -> None:
    """Each queue that a message is routed to is named once."""
    bench = Bench(lab)
    for name in ("q1", "q2", "q3"):
        bench.ch.queue(name)
        bench.ch.bind(name, "amq.topic", "a.*")
        bench.ch.bind(name, "amq.topic", "*.b")
    bench.ch.publish("amq.topic", "a.b")
    bench.traces(1)


@case(requires=NEEDS)
def cc_and_bcc(lab: Lab) -> None:
    """The keys of CC and BCC are told, and which headers are left."""
    bench = Bench(lab)
    for name in ("q", "cc", "bcc"):
        bench.ch.queue(name)
    bench.ch.publish("", "q", headers={"CC": ["cc"], "BCC": ["bcc"]})
    bench.traces(1)
    for name in ("q", "cc", "bcc"):
        bench.ch.get(name, no_ack=True)
    bench.traces(3)


@case(requires=NEEDS)
def exchange_to_exchange(lab: Lab) -> None:
    """The exchange is that which was published to."""
    bench = Bench(lab)
    bench.ch.queue("q")
    bench.ch.exchange_bind("amq.fanout", "amq.direct", "k")
    bench.ch.bind("q", "amq.fanout")
    bench.ch.publish("amq.direct", "k")
    bench.traces(1)
    bench.ch.get("q", no_ack=True)
    bench.traces(1)


@case(requires=NEEDS)
def alternate_exchange(lab: Lab) -> None:
    """So it is with an alternate exchange."""
    bench = Bench(lab)
    bench.ch.exchange("x", arguments={"alternate-exchange": "amq.fanout"})
    bench.ch.queue("q")
    bench.ch.bind("q", "amq.fanout")
    bench.ch.publish("x", "k")
    bench.traces(1)
    bench.ch.get("q", no_ack=True)
    bench.traces(1)


@case(requires=NEEDS)
def got_and_given_back(lab: Lab) -> None:
    """basic.get is a delivery; one that was given back says so."""
    bench = Bench(lab)
    bench.ch.queue("q")
    bench.ch.publish("", "q")
    bench.ch.get("q")
    bench.ch.nack(1)
    bench.ch.get("q", no_ack=True)
    bench.ch.get("q", no_ack=True)
    bench.traces(3)


@case(requires=NEEDS)
def given_back_quorum(lab: Lab) -> None:
    """A quorum queue counts deliveries in a header, which is told."""
    bench = Bench(lab)
    bench.ch.queue("q", durable=True, arguments={"x-queue-type": "quorum"})
    bench.ch.confirm()
    bench.ch.publish_confirmed("", "q")
    bench.ch.get_when_there("q")
    bench.ch.nack(1)
    bench.ch.get_when_there("q", no_ack=True)
    bench.traces(3)


@case(requires=NEEDS)
def dead_lettered(lab: Lab) -> None:
    """Dead-lettering is no publish; the delivery has the dead letter's exchange, key and headers."""
    bench = Bench(lab)
    bench.ch.queue("dead")
    bench.ch.queue("q", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"})
    bench.ch.publish("", "q")
    bench.ch.get("q")
    bench.ch.reject(1, requeue=False)
    bench.ch.get_when_there("dead", no_ack=True)
    bench.traces(3)


@case(requires=NEEDS)
def committed(lab: Lab) -> None:
    """Publishes in a transaction are traced when it is committed, and not when it is rolled back."""
    bench = Bench(lab)
    bench.ch.queue("q")
    bench.ch.tx()
    bench.ch.publish("", "q", "1")
    bench.ch.publish("amq.direct", "nowhere", "2", mandatory=True)
    lab.quiet()
    bench.ch.commit()
    bench.traces(2)
    bench.ch.publish("", "q", "3")
    bench.ch.rollback()
    lab.quiet()
    bench.ch.commit()


@case(requires=NEEDS)
def replies(lab: Lab) -> None:
    """Direct reply-to: the request, and the reply."""
    bench = Bench(lab)
    bench.ch.queue("q")
    bench.ch.consume("amq.rabbitmq.reply-to", "replies", no_ack=True)
    bench.ch.publish("", "q", "request", reply_to="amq.rabbitmq.reply-to")
    request = bench.ch.get("q", no_ack=True)
    bench.ch.publish("", request.properties["reply_to"].removeprefix("S:"), "reply")
    bench.ch.deliveries()
    bench.traces(3)
    lab.quiet()


@case(requires=NEEDS)
def bytes_that_are_no_text(lab: Lab) -> None:
    """A routing key that is not UTF-8."""
    bench = Bench(lab)
    bench.ch.queue("q")
    bench.ch.bind("q", "amq.fanout")
    bench.ch.publish("amq.fanout", b"k\xff")
    bench.ch.get("q", no_ack=True)
    bench.traces(2)


@case(requires=NEEDS)
def names_with_dots(lab: Lab) -> None:
    """The words of a name are words of the routing key."""
    bench = Bench(lab, ("publish.a.b", "deliver.*.d"))
    bench.ch.exchange("a.b", "fanout")
    bench.ch.queue("c.d")
    bench.ch.queue("e")
    for name in ("c.d", "e"):
        bench.ch.bind(name, "a.b")
    bench.ch.publish("a.b", "")
    bench.ch.publish("amq.fanout", "")
    bench.ch.get("e", no_ack=True)
    bench.ch.get("c.d", no_ack=True)
    bench.traces(2)


@case(requires=NEEDS)
def traces_are_not_traced(lab: Lab) -> None:
    """Deliveries of traces are no news to another consumer of them."""
    bench = Bench(lab)
    second = lab.channel(bench.connection)
    second.queue("more")
    second.bind("more", "amq.rabbitmq.trace", "#")
    second.consume("more", "second", no_ack=True)
    bench.ch.publish("amq.direct", "k")
    second.deliveries(1)
    bench.traces(1)
    lab.quiet()


@case(requires=NEEDS)
def traces_dead_lettered(lab: Lab) -> None:
    """A trace that died and comes from another exchange is a message like others."""
    bench = Bench(lab, ("publish.#", "deliver.dead"))
    bench.ch.queue("dead")
    arguments = {"x-message-ttl": 0, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    bench.ch.queue("dying", arguments=arguments)
    bench.ch.bind("dying", "amq.rabbitmq.trace", "publish.amq.fanout")
    bench.ch.publish("amq.fanout", "k")
    bench.traces(1)
    bench.ch.get_when_there("dead", no_ack=True)
    bench.traces(1)


@family({"true": (True,), "text": ("true",)}, requires=NEEDS)
def switched(lab: Lab, on: Any) -> None:
    """On and off again, on channels that are open."""
    bench = Bench(lab, on=False)
    bench.ch.queue("q")
    bench.ch.consume("q", "tag", no_ack=True)
    for number, switch in enumerate((None, on, None, False, None), 1):
        if switch is not None:
            bench.trace(switch)
        bench.ch.publish("", "q", str(number))
        bench.ch.deliveries()
    bench.traces(4)
    lab.quiet()


@case(requires=NEEDS)
def shown(lab: Lab) -> None:
    """The API shows tracing, also when other properties of the vhost change."""
    bench = Bench(lab, on=False)
    bodies = ({"description": "d"}, {"tracing": True}, {"tracing": True}, {"tracing": False}, {"tracing": False})
    said = [_tracing(bench)]
    for body in bodies:
        lab.management.call("PUT", f"vhosts/{bench.vhost}", body)
        said.append(_tracing(bench))
    lab.observe("tracing", said)


@case(requires=NEEDS)
def made_anew(lab: Lab) -> None:
    """A vhost that is deleted while it is traced, and made anew."""
    bench = Bench(lab)
    bench.watch.cancel("watch")
    lab.management.call("DELETE", f"vhosts/{bench.vhost}")
    lab.management.vhost(bench.vhost)
    lab.observe("tracing", _tracing(bench))


def _tracing(bench: Bench) -> Any:
    return bench.lab.management.call("GET", f"vhosts/{bench.vhost}")["tracing"]


@case(requires=NEEDS)
def trace_exchange(lab: Lab) -> None:
    """It is there without tracing, for nobody to publish to."""
    ch = lab.channel()
    ch.exchange("amq.rabbitmq.trace", "topic", durable=True, internal=True)
    ch.publish("amq.rabbitmq.trace", "k")
    ch.closed()


@case(requires=NEEDS)
def by_two_channels(lab: Lab) -> None:
    """Traces name their connection, channel and user."""
    bench = Bench(lab)
    user = lab.name("user")
    lab.management.user(user, "secret")
    lab.management.permissions(user, bench.vhost)
    bench.ch.queue("q")
    there = lab.channel(lab.connect(vhost=bench.vhost, user=user, password="secret"), 7)
    there.publish("", "q")
    bench.traces(1)
    bench.ch.get("q", no_ack=True)
    bench.traces(1)


def big(ch: Channel, size: int) -> None:
    """A message of several frames."""
    ch.publish("amq.direct", "k", b"x" * size)


@case(requires=NEEDS)
def large(lab: Lab) -> None:
    """The body is all there, however large."""
    bench = Bench(lab)
    big(bench.ch, 300_000)
    bench.traces(1)
