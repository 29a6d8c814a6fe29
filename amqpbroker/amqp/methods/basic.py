"""The basic class off the hot path: qos, consume, cancel, get, reject, nack, recover."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from amqpbroker import errors
from amqpbroker.amqp.browsing import BrowsingConsumer
from amqpbroker.amqp.delivery import ChannelConsumer, OverfullConsumer, StampingConsumer
from amqpbroker.amqp.methods.queue import queue_name
from amqpbroker.broker.broker import generated_name
from amqpbroker.broker.queues.arguments.arguments import NO_CONSUME
from amqpbroker.broker.queues.arguments.declaration import check_consumer_arguments
from amqpbroker.broker.queues.direct_reply import PSEUDO_QUEUE
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.compat import Compat, Permission
from amqpbroker.wire.erlang import erlang_string
from amqpbroker.wire.values import Table

if TYPE_CHECKING:
    from amqpbroker.amqp.channel import Channel


def qos(channel: "Channel", arguments: dict[str, Any]) -> None:
    """Handle basic.qos.

    If channel-wide limits are denied, a channel-wide limit is applied to each consumer instead (seen on 4.0.5).
    RabbitMQ never changes the prefetch of a consumer that runs.
    """
    if arguments["prefetch_size"]:
        raise errors.not_implemented(f"prefetch_size!=0 ({arguments['prefetch_size']})")
    channel.send("basic.qos-ok")
    if arguments["global_"] and channel.broker.config.compat.global_qos is Permission.PERMITTED:
        channel.unacked.limit(arguments["prefetch_count"])
    else:
        channel.consumers.limit(arguments["prefetch_count"])
        if channel.broker.config.qos_applies_to == "running":
            channel.consumers.limit_running(arguments["prefetch_count"])
        # RabbitMQ also removes a channel-wide limit then (rabbit_limiter:unlimit_prefetch/1).
        if channel.unacked.global_prefetch:
            channel.unacked.limit(0)


def consume(channel: "Channel", arguments: dict[str, Any]) -> None:
    name = arguments["queue"]
    tag = arguments["consumer_tag"] or generated_name("amq.ctag-")
    if name == PSEUDO_QUEUE:
        _consume_replies(channel, tag, arguments)
        return
    name = queue_name(channel, name)
    consumers = channel.consumers
    if tag in consumers.by_tag:
        raise errors.consumer_tag_reused(tag)
    limit = channel.broker.config.consumer_max_per_channel
    if limit and len(consumers.by_tag) >= limit:
        raise errors.too_many_consumers(limit)
    queue = channel.actions().readable_queue(name)
    kind = queue.kind
    if channel.unacked.global_prefetch and not (kind.channel_prefetch or kind.needs_credit):
        raise errors.global_qos_refused(name, channel.vhost.name)
    compat = channel.broker.config.compat
    check_consumer_arguments(name, channel.vhost.name, kind, arguments["arguments"], compat, arguments["no_ack"])
    if kind.needs_credit:
        _check_credit(channel, name, arguments["no_ack"])
    if _browses(arguments["arguments"], compat):
        _browse(channel, queue, tag, arguments)
        return
    priority = arguments["arguments"].get("x-priority")
    held = consumers.held_under(queue, tag)
    made = StampingConsumer if channel.broker.config.tells_sent_time else ChannelConsumer
    if kind.merges_consumers and 0 < consumers.prefetch < len(held):
        made = OverfullConsumer
    consumer = made(
        consumers,
        queue,
        tag,
        arguments["no_ack"],
        arguments["exclusive"] and kind.exclusive_consumers,
        priority.value if priority is not None else 0,
        arguments["arguments"],
        consumers.prefetch,
    )
    if held:
        consumer.will_take_over(len(held))
    queue.add_consumer(consumer, held)
    consumers.add(consumer)
    if not consumer.no_ack:
        channel.overdue_checks.watch()
    if not arguments["nowait"]:
        channel.send("basic.consume-ok", consumer_tag=tag)
    queue.offer(consumer)


def _check_credit(channel: "Channel", name: str, no_ack: bool) -> None:
    """Raise AmqpError for a consumer of a stream whose deliveries nothing limits (rabbit_stream_queue:consume/3)."""
    vhost = channel.vhost.name
    if not channel.consumers.prefetch:
        raise errors.stream_needs_prefetch(name, vhost)
    if no_ack:
        raise errors.stream_needs_acknowledgements(name, vhost)
    if channel.unacked.global_prefetch:
        raise errors.global_qos_refused(name, vhost)


def _browses(arguments: Table, compat: Compat) -> bool:
    """Return whether a consumer gets copies of the messages that a queue has."""
    given = arguments.get(NO_CONSUME)
    return given is not None and compat.extensions and bool(given.value)


def _browse(channel: "Channel", queue: Queue, tag: str, arguments: dict[str, Any]) -> None:
    if arguments["exclusive"]:
        problem = erlang_string("a browsing consumer cannot be exclusive: remove the flag or the argument")
        raise errors.invalid_queue_argument(NO_CONSUME, queue.name, channel.vhost.name, problem)
    consumer = BrowsingConsumer(channel.consumers, queue, tag, arguments["no_ack"], arguments["arguments"])
    channel.consumers.add(consumer)
    if not arguments["nowait"]:
        channel.send("basic.consume-ok", consumer_tag=tag)
    consumer.run()


def _consume_replies(channel: "Channel", tag: str, arguments: dict[str, Any]) -> None:
    if not arguments["no_ack"]:
        raise errors.precondition_failed("reply consumer cannot acknowledge")
    if channel.publishing.reply is not None:
        raise errors.precondition_failed("reply consumer already set")
    consumer = ChannelConsumer(channel.consumers, channel.vhost.reply_queue(), tag, True, False, 0, {}, 0)
    channel.publishing.open_reply(consumer)
    if not arguments["nowait"]:
        channel.send("basic.consume-ok", consumer_tag=tag)


def cancel(channel: "Channel", arguments: dict[str, Any]) -> None:
    """Handle basic.cancel. The unacknowledged deliveries of the consumer stay outstanding."""
    tag = arguments["consumer_tag"]
    if not channel.consumers.cancel(tag):
        reply = channel.publishing.reply
        if reply is not None and reply.consumer.tag == tag:
            channel.publishing.close_reply()
    if not arguments["nowait"]:
        channel.send("basic.cancel-ok", consumer_tag=tag)


def cancel_ok(channel: "Channel", arguments: dict[str, Any]) -> None:
    """Ignore basic.cancel-ok. Some clients send it in answer to the broker's basic.cancel, despite nowait."""


def get(channel: "Channel", arguments: dict[str, Any]) -> None:
    name = queue_name(channel, arguments["queue"])
    queue = channel.actions().queue_to_get_from(name)
    no_ack = arguments["no_ack"]
    if not _get(channel, queue, no_ack):
        channel.unfinished.repeat(partial(_get, channel, queue, no_ack))


def _get(channel: "Channel", queue: Queue, no_ack: bool) -> bool:
    """Answer basic.get and return True, unless many expired messages have to be removed before."""
    if channel.closed:
        return True
    # Messages expire during a get. If their dead letters are delivered to this channel, they follow the answer.
    with channel.vhost.dead_letters:
        entry = queue.get(no_ack)
        if entry is not None:
            channel.send_got(entry, no_ack, queue.ready_count)
        elif queue.is_behind:
            return False
        else:
            channel.context.counts.count_got_empty()
            channel.send("basic.get-empty")
    return True


def reject(channel: "Channel", arguments: dict[str, Any]) -> None:
    channel.unacked.reject(arguments["delivery_tag"], arguments["requeue"])


def nack(channel: "Channel", arguments: dict[str, Any]) -> None:
    channel.unacked.nack(arguments["delivery_tag"], arguments["multiple"], arguments["requeue"])


def recover(channel: "Channel", arguments: dict[str, Any]) -> None:
    _recover(channel, arguments, reply=True)


def recover_async(channel: "Channel", arguments: dict[str, Any]) -> None:
    _recover(channel, arguments, reply=False)


def _recover(channel: "Channel", arguments: dict[str, Any], reply: bool) -> None:
    """Requeue all outstanding deliveries; the answer is sent before they are redelivered."""
    if not arguments["requeue"]:
        raise errors.not_implemented("requeue=false")
    if reply:
        channel.send("basic.recover-ok")
    channel.unacked.recover()


HANDLERS: dict[str, Callable[..., None]] = {
    "basic.qos": qos,
    "basic.consume": consume,
    "basic.cancel": cancel,
    "basic.cancel-ok": cancel_ok,
    "basic.get": get,
    "basic.reject": reject,
    "basic.nack": nack,
    "basic.recover": recover,
    "basic.recover-async": recover_async,
}
