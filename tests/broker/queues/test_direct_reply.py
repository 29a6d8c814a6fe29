import base64
import re

import pytest

from amqpbroker.broker.publishing.inspection import inspect
from amqpbroker.broker.queues.direct_reply import PSEUDO_QUEUE, DirectReplies, is_direct_reply
from amqpbroker.errors import AmqpError
from amqpbroker.message.message import Message
from amqpbroker.wire.frames import content
from amqpbroker.wire.properties import decode_properties, encode_properties
from amqpbroker.wire.values import longstr
from tests.bench.application import messages
from tests.broker.queueing import Subscriber, make_vhost, message
from tests.harness import Wire, make_broker


def requester() -> Subscriber:
    return Subscriber(make_vhost().reply_queue(), "r", no_ack=True)


def test_reply_is_delivered_to_the_consumer() -> None:
    replies, consumer = DirectReplies(), requester()
    reply = replies.open(consumer, lambda: False)
    assert is_direct_reply(reply.name)
    assert replies.find(reply.name) is reply
    assert reply.publish(message(b"answer"))
    assert consumer.bodies == [b"answer"]


def test_closed_direct_reply_consumer_is_not_found() -> None:
    replies = DirectReplies()
    reply = replies.open(requester(), lambda: False)
    replies.close(reply)
    replies.close(reply)
    assert replies.find(reply.name) is None


def test_replies_to_a_slow_reader_are_accepted_and_dropped() -> None:
    flooded = False
    consumer = requester()
    reply = DirectReplies().open(consumer, lambda: flooded)
    assert reply.publish(message(b"1"))
    flooded = True
    assert reply.publish(message(b"2"))
    assert not reply.refuses(1, 1)
    flooded = False
    assert reply.publish(message(b"3"))
    assert consumer.bodies == [b"1", b"3"]


def test_direct_reply_name_has_a_process_id_and_a_key_as_in_rabbitmq() -> None:
    replies = DirectReplies("rabbit@host", 0x6B099CAB)
    processes, keys = [], set()
    for _ in range(50):
        prefix, process, key = replies.open(requester(), lambda: False).name.rsplit(".", 2)
        assert prefix == PSEUDO_QUEUE
        processes.append(base64.b64decode(process, validate=True))
        keys.add(base64.b64decode(key, validate=True))
    assert {len(key) for key in keys} == {16}
    assert len(keys) == 50
    # 131 is an external term. X is a process identifier: its node (an atom, v), number, serial and creation time.
    assert all(re.fullmatch(rb"\x83Xv\0.reply@\d{1,9}.{4}\0{4}\x6b\x09\x9c\xab", each, re.DOTALL) for each in processes)
    assert all(len(each) == 5 + each[4] + 12 for each in processes)
    assert len(set(processes)) == 50


def test_direct_reply_name_is_short_on_nodes_with_long_names() -> None:
    name = DirectReplies("rabbit@" + 250 * "h", 0).open(requester(), lambda: False).name
    assert len(name) <= 95


def test_direct_reply_names_stay_unique_after_2_to_the_32_consumers() -> None:
    replies = DirectReplies()
    replies._opened = 2**32 - 1
    first, second = [replies.open(requester(), lambda: False).name for _ in range(2)]
    assert first != second


def test_only_issued_direct_reply_names_are_found() -> None:
    replies = DirectReplies()
    name = replies.open(requester(), lambda: False).name
    process = name.rpartition(".")[0]
    for wrong in (
        f"{process}.{22 * 'A'}==",
        name + ".x",
        process,
        process + ".",
        PSEUDO_QUEUE + ".",
        PSEUDO_QUEUE + ".a.b",
    ):
        assert replies.find(wrong) is None
        assert is_direct_reply(wrong)
    assert replies.find(name) is not None
    assert replies.find(PSEUDO_QUEUE) is None
    assert replies.find("q") is None
    assert not is_direct_reply(PSEUDO_QUEUE)


# --- on the wire ------------------------------------------------------------------------------------------------------


def request_with_answer() -> tuple[Wire, Wire, str]:
    """Return a requester that consumes replies, a responder with its request, and the reply address."""
    broker = make_broker()
    client, server = Wire(broker).log_in(), Wire(broker).log_in()
    server.declare("requests")
    server.consume("requests", no_ack=True)
    client.consume(PSEUDO_QUEUE, "replies", no_ack=True)
    client.publish("requests", b"?", reply_to=PSEUDO_QUEUE, correlation_id="7")
    (request,) = server.receive()
    assert request.properties is not None
    return client, server, request.properties["reply_to"].decode()


@pytest.mark.parametrize("end", ["cancel", "channel.close", "lost"])
def test_late_reply_is_unroutable(end: str) -> None:
    client, server, reply_to = request_with_answer()
    server.publish(reply_to, b"in time")
    if end == "cancel":
        client.send(1, "basic.cancel", consumer_tag="replies")
    elif end == "channel.close":
        client.send(1, "channel.close")
    else:
        client.connection.lost()
    server.publish(reply_to, b"late", mandatory=True)
    (returned,) = server.receive()
    assert (returned.name, returned.body) == ("basic.return", b"late")


def test_second_direct_reply_consumer_gets_a_new_name() -> None:
    client, server, reply_to = request_with_answer()
    client.call(1, "basic.cancel", consumer_tag="replies")
    client.consume(PSEUDO_QUEUE, "again", no_ack=True)
    client.publish("requests", b"?", reply_to=PSEUDO_QUEUE)
    (request,) = server.receive()
    assert request.properties is not None
    assert request.properties["reply_to"].decode() != reply_to


def test_direct_reply_changes_no_other_properties_of_a_request() -> None:
    client, server, reply_to = request_with_answer()
    values, _ = next(messages(count=1))
    values |= {"correlation_id": "7", "app_id": "shop", "user_id": "guest"}
    for body in b"?", b"", b"?" * 5000:
        client.publish("requests", body, reply_to=PSEUDO_QUEUE, **values)
        (request,) = server.receive()
        sent = {name: value.encode() if isinstance(value, str) else value for name, value in values.items()}
        assert (request.properties, request.body) == ({**sent, "reply_to": reply_to.encode()}, body)


def test_direct_reply_request_is_published_without_decoding_it() -> None:
    reply = DirectReplies().open(requester(), lambda: False)
    values = {"headers": {"a": longstr("1")}, "reply_to": PSEUDO_QUEUE.encode(), "message_id": b"m"}
    properties = encode_properties(values)
    for in_frames in True, False:
        frames = content(1, properties, b"?", 0)
        asked = Message(b"\0\1q", None, None, 1, frames, 1) if in_frames else Message(b"\0\1q", properties, b"?")
        inspect(asked, properties, None, reply.shortstr)
        assert asked.undecoded
        assert decode_properties(asked.properties) == {**values, "reply_to": reply.name.encode()}
        assert asked.headers == values["headers"]
        assert asked.body == b"?"


def test_direct_reply_pseudo_queue_is_not_a_queue_of_the_vhost() -> None:
    with pytest.raises(AmqpError):
        make_vhost().queue(PSEUDO_QUEUE, None)
