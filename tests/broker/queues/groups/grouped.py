"""Queues with message groups, for their tests."""

from typing import Any

import pytest

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.groups.group import Group
from amqpbroker.broker.queues.groups.queue import GroupQueue
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.message.message import Message, encode_address
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, longstr
from tests.broker.queueing import UNLIMITED, Subscriber, ready, table
from tests.broker.queues.lines.test_paging import Node as PagingNode
from tests.broker.storing import Node

KEY = "customer"
TO_GRAVE: dict[str, Any] = {"dead_letter_exchange": "", "dead_letter_routing_key": "grave"}

#: Every kind of queue that has groups, and single active consumer.
KINDS = pytest.mark.parametrize(
    "kind",
    [{}, {"queue_type": "quorum"}, {"single_active_consumer": True}],
    ids=["classic", "quorum", "single-active"],
)
STORED_KINDS = pytest.mark.parametrize("kind", [{}, {"queue_type": "quorum"}], ids=["classic", "quorum"])


def declare(vhost: Vhost, name: str = "q", header: str = KEY, **more: Any) -> GroupQueue:
    durable = more.pop("durable", False) or more.get("queue_type") == "quorum"
    queue = vhost.declare_queue(name, durable, False, False, table(group_header=header, **more))
    assert isinstance(queue, GroupQueue)
    return queue


def message(
    text: str,
    priority: int = 0,
    expiration_ms: int = -1,
    persistent: bool = True,
    key: Field | None = None,
    **headers: Any,
) -> Message:
    """Return a message "a1": the first letter is its key. It has none if that is "-"."""
    headers = {}
    if key is not None or text[0] != "-":
        headers[KEY] = key or longstr(text[0])
    properties: dict[str, Any] = {"headers": headers, "delivery_mode": 2 if persistent else 1}
    if priority:
        properties["priority"] = priority
    made = Message(encode_address("", b"q"), encode_properties(properties), text.encode())
    made.persistent = persistent
    made.priority = priority
    made.expiration_ms = expiration_ms
    made.undecoded = True
    return made


def send(queue: GroupQueue, *texts: str, **options: Any) -> None:
    for text in texts:
        assert queue.publish(message(text, **options))


def waiting(queue: GroupQueue) -> list[str]:
    """Return the waiting messages, after checking that they are counted correctly."""
    found = [body.decode() for body in ready(queue)]
    assert queue.ready.waiting == len(found) == queue.ready_count == queue.info().messages_ready
    assert queue.ready.size == sum([len(text) for text in found])
    return found


def states(queue: GroupQueue) -> dict[str, str]:
    groups = queue.line.groups
    return {each.key[1:].decode(): groups.state_name(each) for each in groups.all() if each.key is not None}


class Worker(Subscriber):
    """A consumer whose messages are named by their bodies."""

    def texts(self) -> list[str]:
        return [body.decode() for body in self.take()]

    def pick(self, text: str) -> Entry:
        """Remove and return the unsettled message with that text."""
        entry = next(each for each in self.held if each.message.body == text.encode())
        self.held.remove(entry)
        return entry

    def ack_text(self, text: str) -> None:
        self.queue.ack(self.pick(text))

    def reject_text(self, text: str) -> None:
        self.queue.reject([self.pick(text)])

    def requeue_text(self, text: str, failed: bool = True) -> None:
        self.queue.requeue([self.pick(text)], failed)


def work(queue: LocalQueue, limit: int = UNLIMITED, tag: str = "c", **options: Any) -> Worker:
    worker = Worker(queue, tag, limit, **options)
    worker.subscribe()
    return worker


def group(queue: GroupQueue, key: str) -> Group:
    found = queue.line.groups.get(b"S" + key.encode())
    assert found is not None
    return found


def stored(kind: dict[str, Any] | None = None, **more: Any) -> Node:
    """Return a broker with a queue "q" with groups and a queue "grave", whose files survive `crashed_copy`."""
    return Node(q=table(group_header=KEY, **(kind or {}), **more), grave={})


def queue_of(node: Node, name: str = "q") -> Any:
    return node.broker.vhosts["/"].queues[name]


class SmallPages(PagingNode):
    """A broker whose queue keeps few messages in memory."""

    bounds: Bounds = BOUNDS._replace(page_count=8, least_page_count=2, read_count=3)
