"""The lifetime of queues: exclusive, auto-delete, x-expires (2.4)."""

from __future__ import annotations

from typing import Any

from conformance.lab import Lab
from conformance.registry import case, family


@family(
    {
        "declare": ("queue.declare", {"exclusive": True}),
        "declare_passive": ("queue.declare", {"passive": True}),
        "declare_plain": ("queue.declare", {}),
        "consume": ("basic.consume", {}),
        "get": ("basic.get", {}),
        "bind": ("queue.bind", {"exchange": "amq.direct"}),
        "unbind": ("queue.unbind", {"exchange": "amq.direct"}),
        "purge": ("queue.purge", {}),
        "delete": ("queue.delete", {}),
    }
)
def exclusive(lab: Lab, method: str, arguments: dict[str, Any]) -> None:
    """Another connection meets an exclusive queue."""
    lab.channel().queue(lab.q(), exclusive=True)
    lab.channel(lab.connect()).call(method, queue=lab.q(), **arguments)


@case()
def exclusive_unbind_bound(lab: Lab) -> None:
    """Another connection unbinds a binding that is there."""
    ch = lab.channel()
    ch.queue(lab.q(), exclusive=True)
    ch.bind(lab.q(), "amq.direct", lab.q())
    lab.channel(lab.connect()).unbind(lab.q(), "amq.direct", lab.q())


@family({"queue": (True,), "no_queue": (False,)})
def exclusive_bind_wrongly(lab: Lab, there: bool) -> None:
    """Binding another connection's queue, or none, with arguments that the exchange refuses."""
    ch, other = lab.channel(), lab.channel(lab.connect())
    if there:
        ch.queue(lab.q(), exclusive=True)
    other.exchange(lab.x(), "headers")
    other.bind(lab.q(), lab.x(), arguments={"x-match": "some"})


@case()
def exclusive_publish(lab: Lab) -> None:
    """Publishing to an exclusive queue is open to all."""
    ch = lab.channel()
    ch.queue(lab.q(), exclusive=True)
    ch.consume(lab.q(), "a", no_ack=True)
    lab.channel(lab.connect()).publish("", lab.q(), "from afar")
    ch.deliveries(1)


@case()
def exclusive_other_channel(lab: Lab) -> None:
    """All channels of the owning connection may use it."""
    lab.channel().queue(lab.q(), exclusive=True)
    ch = lab.channel()
    ch.queue(lab.q(), exclusive=True)
    ch.publish("", lab.q())
    ch.sync()
    ch.get(lab.q(), no_ack=True)


@case()
def exclusive_survives_its_channel(lab: Lab) -> None:
    """It is the connection's, not the channel's."""
    ch = lab.channel()
    ch.queue(lab.q(), exclusive=True)
    ch.close()
    lab.channel().queue(lab.q(), passive=True)


@family({"transient": (False,), "durable": (True,)})
def exclusive_ends_with_connection(lab: Lab, durable: bool) -> None:
    """It is deleted when the connection closes, durable or not."""
    first = lab.channel()
    first.queue(lab.q(), exclusive=True, durable=durable)
    first.connection.send_method(0, "connection.close", reply_code=200)
    first.connection.wait(0, "connection.close-ok")
    lab.wait_ready(lab.q(), -1)
    lab.channel(lab.connect()).queue(lab.q(), passive=True)


@case()
def exclusive_ends_with_socket(lab: Lab) -> None:
    """It is deleted when the connection breaks."""
    first = lab.channel(lab.connect())
    first.queue(lab.q(), exclusive=True)
    first.connection.drop()
    lab.wait_ready(lab.q(), -1)
    lab.channel(lab.connect()).queue(lab.q(), passive=True)


@case()
def exclusive_messages_are_not_dead_lettered(lab: Lab) -> None:
    """The messages of a queue that goes with its connection go too."""
    ch = lab.channel(lab.connect())
    ch.queue(lab.q("dead"))
    first = lab.channel(lab.connect())
    first.queue(
        lab.q(), exclusive=True, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": lab.q("dead")}
    )
    first.publish("", lab.q())
    first.sync()
    first.connection.drop()
    lab.wait_ready(lab.q(), -1)
    ch.get(lab.q("dead"))


@case()
def auto_delete_never_consumed(lab: Lab) -> None:
    """Without a consumer an auto-delete queue stays."""
    ch = lab.channel(lab.connect())
    ch.queue(lab.q(), auto_delete=True)
    ch.publish("", lab.q())
    ch.sync()
    ch.get(lab.q(), no_ack=True)
    ch.close()
    lab.quiet()


@case()
def auto_delete_on_cancel(lab: Lab) -> None:
    """It goes with the last consumer."""
    ch = lab.channel()
    ch.queue(lab.q(), auto_delete=True)
    ch.consume(lab.q(), "a")
    ch.consume(lab.q(), "b")
    ch.cancel("a")
    ch.queue(lab.q(), passive=True)
    ch.cancel("b")
    lab.wait_ready(lab.q(), -1)


@case()
def auto_delete_on_channel_close(lab: Lab) -> None:
    """It goes with the channel of its only consumer."""
    ch = lab.channel()
    ch.queue(lab.q(), auto_delete=True)
    ch.consume(lab.q(), "a")
    ch.close()
    lab.wait_ready(lab.q(), -1)


@case()
def auto_delete_on_connection_loss(lab: Lab) -> None:
    """It goes with the connection of its only consumer."""
    ch = lab.channel(lab.connect())
    ch.queue(lab.q(), auto_delete=True)
    ch.consume(lab.q(), "a")
    ch.connection.drop()
    lab.wait_ready(lab.q(), -1)


@case()
def auto_delete_with_messages(lab: Lab) -> None:
    """Messages do not keep it."""
    ch = lab.channel()
    ch.queue(lab.q(), auto_delete=True)
    ch.qos(1)
    ch.consume(lab.q(), "a")
    ch.publish("", lab.q(), "1")
    ch.publish("", lab.q(), "2")
    ch.deliveries(1)
    ch.cancel("a")
    lab.wait_ready(lab.q(), -1)
    ch.ack(1)
    ch.sync()


@case()
def auto_delete_other_connection_consumes(lab: Lab) -> None:
    """The consumer may be another connection's."""
    lab.channel().queue(lab.q(), auto_delete=True)
    other = lab.channel(lab.connect())
    other.consume(lab.q(), "a")
    other.cancel("a")
    lab.wait_ready(lab.q(), -1)


@case()
def expires_unused(lab: Lab) -> None:
    """A queue nobody uses goes after x-expires."""
    ch = lab.channel()
    ch.queue(lab.q(), arguments={"x-expires": 150})
    lab.sleep(0.6)
    ch.queue(lab.q(), passive=True)


@case()
def expires_quorum(lab: Lab) -> None:
    """A quorum queue expires too, though it looks at its clock only every few seconds."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-expires": 150, "x-queue-type": "quorum"})
    lab.sleep(7)
    ch.queue(lab.q(), passive=True)


@case()
def expires_with_consumer(lab: Lab) -> None:
    """A consumer keeps it, and the time runs from the moment it leaves."""
    ch = lab.channel()
    ch.queue(lab.q(), arguments={"x-expires": 150})
    ch.consume(lab.q(), "a")
    lab.sleep(0.5)
    ch.queue(lab.q(), passive=True)
    ch.cancel("a")
    lab.sleep(0.6)
    ch.queue(lab.q(), passive=True)


@case()
def expires_publishing_does_not_keep(lab: Lab) -> None:
    """Publishing does not count as use."""
    ch = lab.channel()
    ch.queue(lab.q(), arguments={"x-expires": 400})
    for _ in range(10):
        lab.sleep(0.1)
        ch.publish("", lab.q())
    ch.sync()
    ch.queue(lab.q(), passive=True)


@family({"declare": ("declare",), "passive": ("passive",), "get": ("get",)})
def expires_kept_by(lab: Lab, how: str) -> None:
    """Declaring again and basic.get count as use."""
    ch = lab.channel()
    arguments = {"x-expires": 600}
    ch.queue(lab.q(), arguments=arguments)
    for _ in range(4):
        lab.sleep(0.3)
        if how == "get":
            ch.get(lab.q())
        elif how == "passive":
            ch.queue(lab.q(), passive=True)
        else:
            ch.queue(lab.q(), arguments=arguments)


@case()
def expires_messages_are_not_dead_lettered(lab: Lab) -> None:
    """Messages go with an expired queue."""
    ch = lab.channel()
    ch.queue(lab.q("dead"))
    arguments = {"x-expires": 150, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": lab.q("dead")}
    ch.queue(lab.q(), arguments=arguments)
    ch.publish("", lab.q())
    ch.sync()
    lab.sleep(0.6)
    ch.get(lab.q("dead"))


@case()
def expires_unacked_is_lost(lab: Lab) -> None:
    """A message taken by basic.get does not keep the queue."""
    ch = lab.channel()
    ch.queue(lab.q(), arguments={"x-expires": 150})
    ch.publish("", lab.q())
    ch.sync()
    ch.get(lab.q())
    lab.sleep(0.6)
    ch.ack(1)
    ch.queue(lab.q(), passive=True)
