"""Publisher confirms and transactions (2.7)."""

from __future__ import annotations

from typing import Any

from conformance.lab import Lab
from conformance.registry import case, family

QUORUM = {"x-queue-type": "quorum"}


@family(
    {
        "transient": ({}, {}),
        "persistent": ({"durable": True}, {"delivery_mode": 2}),
        "transient_in_durable": ({"durable": True}, {}),
        "quorum": ({"durable": True, "arguments": QUORUM}, {"delivery_mode": 2}),
    }
)
def one_by_one(lab: Lab, declare: dict[str, Any], properties: dict[str, Any]) -> None:
    """Tags count from 1, per channel."""
    ch = lab.channel()
    ch.queue(lab.q(), **declare)
    ch.confirm()
    for number in range(3):
        ch.publish_confirmed("", lab.q(), str(number), **properties)


@family({"classic": ("classic",), "quorum": ("quorum",)})
def many(lab: Lab, kind: str) -> None:
    """A burst is confirmed whole."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind})
    ch.confirm()
    for number in range(40):
        ch.publish("", lab.q(), str(number), delivery_mode=2)
    ch.confirm_all(40)
    lab.wait_ready(lab.q(), 40)


@case()
def select_twice(lab: Lab) -> None:
    """A second confirm.select changes nothing."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.confirm()
    ch.publish_confirmed("", lab.q(), "1")
    ch.confirm()
    ch.publish_confirmed("", lab.q(), "2")


@case()
def select_nowait(lab: Lab) -> None:
    """confirm.select without a reply."""
    ch = lab.channel()
    ch.call("confirm.select", nowait=True)
    ch.queue(lab.q())
    ch.publish_confirmed("", lab.q())


@case()
def publishes_before_do_not_count(lab: Lab) -> None:
    """Counting starts at confirm.select."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q(), "before")
    ch.confirm()
    ch.publish_confirmed("", lab.q(), "after")


@case()
def channels_count_alone(lab: Lab) -> None:
    """Each channel has its own numbers."""
    first, second = lab.channel(), lab.channel()
    first.queue(lab.q())
    for ch in (first, second):
        ch.confirm()
        ch.publish_confirmed("", lab.q())
        ch.publish_confirmed("", lab.q())


@case()
def unroutable(lab: Lab) -> None:
    """An unroutable message is acked."""
    ch = lab.channel()
    ch.confirm()
    ch.publish_confirmed("", lab.q())
    ch.publish_confirmed("amq.direct", lab.q())


@case()
def return_before_ack(lab: Lab) -> None:
    """A return comes before the ack of the same message."""
    ch = lab.channel()
    ch.confirm()
    ch.publish_confirmed("", lab.q(), mandatory=True)
    ch.publish_confirmed("", lab.q(), mandatory=True)


def _unroutable(lab: Lab, how: str) -> tuple[str, str, dict[str, Any]]:
    """Return exchange, routing key and properties of a publish that reaches no queue."""
    ch = lab.channel()
    if how == "no_queue":
        return "", lab.q("none"), {}
    if how in ("direct", "fanout", "topic", "headers"):
        return f"amq.{how}", lab.q("none"), {}
    if how == "cc":
        return "", lab.q("none"), {"headers": {"CC": [lab.q("none2")], "BCC": [lab.q("none3")]}}
    ch.exchange(lab.x("empty"), "fanout")
    if how == "alternate":
        ch.exchange(lab.x(), "direct", arguments={"alternate-exchange": lab.x("empty")})
    else:
        ch.exchange(lab.x(), "fanout")
        ch.exchange_bind(lab.x("empty"), lab.x())
    return lab.x(), "k", {}


WITHOUT_QUEUE = ("no_queue", "direct", "fanout", "topic", "headers", "cc", "alternate", "to_exchange")


@family(
    {
        f"{how}{'_mandatory' if mandatory else ''}": (how, mandatory)
        for how in WITHOUT_QUEUE
        for mandatory in (False, True)
    }
)
def unroutable_in_one_write(lab: Lab, how: str, mandatory: bool) -> None:
    """Publishes that reach no queue are confirmed one by one, each right behind its return."""
    exchange, key, properties = _unroutable(lab, how)
    ch = lab.channel()
    ch.confirm()
    with ch.connection.in_one_write():
        for number in range(5):
            ch.publish(exchange, key, str(number), mandatory=mandatory, **properties)
    ch.wait("basic.ack", 5)


@family(
    {
        "transient": ({},),
        "persistent": ({"delivery_mode": 2},),
        "empty": ({"body": ""},),
        "two_frames": ({"body": "x" * 140_000},),
    }
)
def unroutable_of_any_kind(lab: Lab, message: dict[str, Any]) -> None:
    """Confirms of unroutable messages do not depend on delivery mode or size."""
    ch = lab.channel()
    ch.confirm()
    with ch.connection.in_one_write():
        for mandatory in (True, True, False, False):
            ch.publish("", lab.q("none"), mandatory=mandatory, **message)
    ch.wait("basic.ack", 4)


@family({name: (name,) for name in ("declare", "get", "qos", "consume", "select", "unbind", "channel_close", "error")})
def unroutable_before_an_answer(lab: Lab, method: str) -> None:
    """The confirm of an unroutable message comes before the answer to the next method."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.confirm()
    with ch.connection.in_one_write():
        ch.publish("", lab.q("none"), mandatory=True)
        ch.publish("", lab.q("none"))
        if method == "declare":
            ch.cast("queue.declare", queue=lab.q(), passive=True)
        elif method == "get":
            ch.cast("basic.get", queue=lab.q(), no_ack=True)
        elif method == "qos":
            ch.cast("basic.qos", prefetch_count=1)
        elif method == "consume":
            ch.cast("basic.consume", queue=lab.q(), consumer_tag="c")
        elif method == "select":
            ch.cast("confirm.select")
        elif method == "unbind":
            ch.cast("queue.unbind", queue=lab.q(), exchange="amq.direct", routing_key="k")
        elif method == "channel_close":
            ch.cast("channel.close", reply_code=200, reply_text="bye")
        else:
            ch.publish(lab.x(), "k")
    ch.wait("basic.ack", 2)
    lab.quiet()


@case()
def unroutable_behind_a_confirmed_one(lab: Lab) -> None:
    """Delivery tags continue, and earlier confirms are not repeated."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.confirm()
    ch.publish_confirmed("", lab.q(), "1")
    with ch.connection.in_one_write():
        ch.publish("", lab.q("none"), "2", mandatory=True)
        ch.publish("", lab.q("none"), "3")
    ch.wait("basic.ack", 2)
    ch.publish_confirmed("", lab.q(), "4")


@case()
def unroutable_on_two_channels(lab: Lab) -> None:
    """Each channel confirms its own unroutable messages."""
    first, second = lab.channel(), lab.channel()
    for ch in (first, second):
        ch.confirm()
    with first.connection.in_one_write():
        for ch in (first, second, second, first, second):
            ch.publish("", lab.q("none"), mandatory=True)
    first.wait("basic.ack", 2)
    second.wait("basic.ack", 3)


@case()
def unroutable_then_to_a_queue(lab: Lab) -> None:
    """A later message that reaches a queue has a separate confirm."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.confirm()
    with ch.connection.in_one_write():
        ch.publish("", lab.q("none"), "1")
        ch.publish("", lab.q("none"), "2", mandatory=True)
        ch.publish("", lab.q(), "3")
    ch.wait("basic.ack", 3)


@case()
def direct_replies_in_one_write(lab: Lab) -> None:
    """Direct replies are confirmed like unroutable messages, since they reach no queue."""
    client, server = lab.channel(), lab.channel(lab.connect())
    server.queue(lab.q())
    client.consume("amq.rabbitmq.reply-to", "client", no_ack=True)
    client.publish("", lab.q(), reply_to="amq.rabbitmq.reply-to")
    got = server.get_when_there(lab.q(), no_ack=True)
    name = (got.properties or {}).get("reply_to", "")
    server.confirm()
    with server.connection.in_one_write():
        server.publish("", lab.q("none"))
        server.publish("", name, "reply", delivery_mode=2)
        server.publish("", lab.q("none"))
    server.wait("basic.ack", 3)
    client.deliveries(1)


@family({"return_first": (True,), "queue_first": (False,)})
def mandatory_with_and_without_a_route(lab: Lab, returned: bool) -> None:
    """Mandatory messages that are routed are confirmed like any other."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.confirm()
    for name in (lab.q("none"), lab.q()) if returned else (lab.q(), lab.q("none")):
        ch.publish_confirmed("", name, mandatory=True)


@case()
def full_queue_in_one_write(lab: Lab) -> None:
    """Nacks are combined when a queue refuses a burst of messages."""
    ch = lab.channel()
    ch.queue(lab.q(), arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    ch.confirm()
    with ch.connection.in_one_write():
        for _ in range(3):
            ch.publish("", lab.q())
    ch.confirm_all(3)


@case()
def several_queues(lab: Lab) -> None:
    """One ack for a message that reached several queues."""
    ch = lab.channel()
    ch.exchange(lab.x(), "fanout")
    for short, kind in {"q1": "classic", "q2": "quorum", "q3": "classic"}.items():
        ch.queue(lab.q(short), durable=True, arguments={"x-queue-type": kind})
        ch.bind(lab.q(short), lab.x())
    ch.confirm()
    ch.publish_confirmed(lab.x(), "", delivery_mode=2)
    for short in ("q1", "q2", "q3"):
        lab.wait_ready(lab.q(short), 1)


@case()
def consumed_without_ack(lab: Lab) -> None:
    """A message that went straight to a consumer is confirmed."""
    ch = lab.channel()
    ch.queue(lab.q())
    other = lab.channel()
    other.consume(lab.q(), "a", no_ack=True)
    ch.confirm()
    ch.publish_confirmed("", lab.q())
    other.deliveries(1)


@case()
def expired_at_once(lab: Lab) -> None:
    """A message with expiration 0 is acked."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.confirm()
    ch.publish_confirmed("", lab.q(), expiration="0")


@case()
def nack_by_overflow(lab: Lab) -> None:
    """reject-publish nacks."""
    ch = lab.channel()
    ch.queue(lab.q(), arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    ch.confirm()
    ch.publish_confirmed("", lab.q(), "1")
    ch.publish_confirmed("", lab.q(), "2")


@case()
def nack_by_one_of_two(lab: Lab) -> None:
    """One queue that rejects makes the whole publish a nack, though the other keeps its copy."""
    ch = lab.channel()
    ch.exchange(lab.x(), "fanout")
    ch.queue(lab.q("full"), arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    ch.queue(lab.q("roomy"))
    ch.bind(lab.q("full"), lab.x())
    ch.bind(lab.q("roomy"), lab.x())
    ch.confirm()
    ch.publish_confirmed(lab.x(), "", "1")
    ch.publish_confirmed(lab.x(), "", "2")
    ch.publish_confirmed(lab.x(), "", "3")


@case()
def error_takes_no_number(lab: Lab) -> None:
    """A publish that closes the channel is not confirmed."""
    ch = lab.channel()
    ch.confirm()
    ch.publish(lab.x(), "k")
    ch.closed()


@case()
def tx_then_confirm(lab: Lab) -> None:
    """A transactional channel cannot confirm."""
    ch = lab.channel()
    ch.tx()
    ch.confirm()


@case()
def confirm_then_tx(lab: Lab) -> None:
    """A confirming channel cannot be transactional."""
    ch = lab.channel()
    ch.confirm()
    ch.tx()


@family({"commit": ("tx.commit",), "rollback": ("tx.rollback",)})
def tx_not_selected(lab: Lab, method: str) -> None:
    """Commit and rollback need tx.select."""
    lab.channel().call(method)


@case()
def tx_select_twice(lab: Lab) -> None:
    """A second tx.select changes nothing."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.tx()
    ch.publish("", lab.q())
    ch.tx()
    ch.commit()


@case()
def tx_commit(lab: Lab) -> None:
    """Publishes wait for the commit."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.tx()
    ch.publish("", lab.q(), "1")
    ch.publish("", lab.q(), "2")
    ch.queue(lab.q(), passive=True)
    ch.commit()
    ch.queue(lab.q(), passive=True)


@case()
def tx_rollback(lab: Lab) -> None:
    """A rollback forgets the publishes; the next transaction starts empty."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.tx()
    ch.publish("", lab.q(), "forgotten")
    ch.rollback()
    ch.publish("", lab.q(), "kept")
    ch.commit()


@case()
def tx_empty(lab: Lab) -> None:
    """Empty transactions."""
    ch = lab.channel()
    ch.tx()
    ch.commit()
    ch.rollback()
    ch.commit()


@case()
def tx_ack_commit(lab: Lab) -> None:
    """Acks wait for the commit too."""
    ch = lab.channel()
    ch.queue(lab.q())
    for number in range(2):
        ch.publish("", lab.q(), str(number))
    ch.tx()
    ch.get(lab.q())
    ch.get(lab.q())
    ch.ack(1)
    ch.commit()
    ch.ack(2)
    ch.close()


@case()
def tx_ack_rollback(lab: Lab) -> None:
    """After a rollback the message is unacked as before, and can be acked."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q())
    ch.tx()
    ch.get(lab.q())
    ch.ack(1)
    ch.rollback()
    ch.get(lab.q())
    ch.ack(1)
    ch.commit()
    ch.close()


@case()
def tx_nack_commit(lab: Lab) -> None:
    """A requeueing nack waits for the commit."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q())
    ch.tx()
    ch.get(lab.q())
    ch.nack(1)
    ch.get(lab.q())
    ch.commit()
    ch.get_when_there(lab.q())


@case()
def tx_ack_twice(lab: Lab) -> None:
    """A tag acked twice in one transaction."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q())
    ch.tx()
    ch.get(lab.q())
    ch.ack(1)
    ch.ack(1)
    ch.commit()


@case()
def tx_ack_unknown(lab: Lab) -> None:
    """An unknown tag is an error before the commit."""
    ch = lab.channel()
    ch.tx()
    ch.ack(99)
    ch.closed()


@case()
def tx_return_at_commit(lab: Lab) -> None:
    """Returns come with the commit."""
    ch = lab.channel()
    ch.tx()
    ch.publish("", lab.q(), mandatory=True)
    ch.sync()
    lab.quiet()
    ch.exchange("amq.direct", passive=True)
    ch.commit()
    lab.quiet()


@case()
def tx_missing_exchange(lab: Lab) -> None:
    """A missing exchange is an error at once."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.tx()
    ch.publish("", lab.q(), "lost with the channel")
    ch.publish(lab.x(), "k")
    ch.closed()


@case()
def tx_queue_made_after_publish(lab: Lab) -> None:
    """Routing happens at the publish, not at the commit."""
    ch = lab.channel()
    ch.tx()
    name = lab.q()
    ch.publish("", name, "too early")
    ch.queue(name)
    ch.commit()


@case()
def tx_queue_deleted_before_commit(lab: Lab) -> None:
    """A queue that is gone at commit."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.tx()
    ch.publish("", lab.q(), mandatory=True)
    ch.delete(lab.q())
    ch.commit()


@case()
def tx_channel_closed(lab: Lab) -> None:
    """Closing the channel rolls back."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q(), "unacked")
    ch.tx()
    ch.get(lab.q())
    ch.ack(1)
    ch.publish("", lab.q(), "uncommitted")
    ch.close()


@case()
def tx_nacked_by_overflow(lab: Lab) -> None:
    """A queue that refuses within a transaction."""
    ch = lab.channel()
    ch.queue(lab.q(), arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    ch.tx()
    ch.publish("", lab.q(), "1")
    ch.publish("", lab.q(), "2")
    ch.commit()


@case()
def tx_quorum(lab: Lab) -> None:
    """A transaction on a quorum queue."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments=QUORUM)
    ch.tx()
    ch.publish("", lab.q(), "1")
    ch.commit()
    ch.get_when_there(lab.q())
    ch.ack(1)
    ch.commit()


@family({f"{verb}_{count}": (verb, count) for verb in ("nack", "reject") for count in (1, 3)})
def tx_published_and_given_back(lab: Lab, verb: str, count: int) -> None:
    """In what order another channel's consumer has what is published and what is given back in one transaction.

    To a quorum queue RabbitMQ gives these in no certain order.
    """
    ch, other = lab.channel(), lab.channel()
    ch.queue(lab.q())
    for number in range(count):
        ch.publish("", lab.q(), f"before {number}")
    ch.tx()
    for _ in range(count):
        ch.get_when_there(lab.q())
    other.consume(lab.q(), "c")
    for number in range(2):
        ch.publish("", lab.q(), f"within {number}")
    for tag in range(1, count + 1):
        getattr(ch, verb)(tag)
    ch.commit()
    other.deliveries(count + 2)
    lab.quiet()


@family({"classic": ({},), "quorum": ({"x-queue-type": "quorum"},), "stream": ({"x-queue-type": "stream"},)})
def tx_queue_deleted_by_itself(lab: Lab, arguments: dict[str, str]) -> None:
    """A channel deletes the queue that it published to, then commits."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments=arguments)
    ch.tx()
    ch.publish("", lab.q())
    ch.delete(lab.q())
    ch.commit()


@case()
def tx_refused_with_return(lab: Lab) -> None:
    """An unroutable mandatory message in a transaction that is refused."""
    ch = lab.channel()
    ch.exchange(lab.x())
    ch.queue(lab.q())
    ch.tx()
    ch.publish("", lab.q(), "gone")
    ch.publish(lab.x(), "", "unroutable", mandatory=True)
    ch.delete(lab.q())
    ch.commit()


@family({"nack": ("nack",), "reject": ("reject",)})
def tx_given_back_rollback(lab: Lab, verb: str) -> None:
    """After the rollback of a nack or reject the message is unacked as before, and no redelivery comes."""
    ch, other = lab.channel(), lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q())
    ch.sync()
    ch.tx()
    ch.get_when_there(lab.q())
    (ch.nack if verb == "nack" else ch.reject)(1)
    ch.rollback()
    other.queue(lab.q(), passive=True)
    ch.ack(1)
    ch.commit()
