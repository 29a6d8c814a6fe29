"""Redrive: after a crash at any moment, each message is in exactly one of the two queues, and in order."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.redrive.options import RedriveFilter, RedriveOptions
from amqpbroker.message.message import Message, encode_address
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import longstr
from tests.broker.queueing import get, table
from tests.broker.redrive.driving import allowed
from tests.broker.storing import Node
from tests.fault_files import PowerCut
from tests.fuzz.effort import effort

KINDS = st.sampled_from([{}, {"queue_type": "quorum"}, {"max_priority": 2}, {"message_deduplication": True}])


def queue(node: Node, name: str) -> LocalQueue:
    found = node.broker.vhosts["/"].queues[name]
    assert isinstance(found, LocalQueue)
    return found


def bodies(node: Node, name: str) -> list[int]:
    return [int(entry.message.body) for entry in queue(node, name).ready_entries()]


def letter(number: int) -> Message:
    headers = {"parity": longstr(str(number % 2)), "x-deduplication-header": longstr(str(number))}
    properties = encode_properties({"headers": headers, "delivery_mode": 2})
    made = Message(encode_address("", b"work"), properties, b"%d" % number)
    made.persistent = made.undecoded = True
    return made


def dead_letters(count: int, dlq: dict[str, Any], work: dict[str, Any], page: int) -> Node:
    """Return a broker with that many durable dead letters, whose numbers are their bodies."""
    node = Node(
        limits={"page_count": page, "read_count": 2, "batch_bytes": 600},
        dlq=table(**dlq),
        work=table(dead_letter_exchange="", dead_letter_routing_key="dlq", **work),
    )
    node.persistence.log.segment_bytes = 1500
    for number in range(count):
        assert queue(node, "work").publish(letter(number))
        queue(node, "work").reject([get(queue(node, "work"))])
        node.broker.sync()
    return node


@effort(150)
@given(
    dlq=KINDS,
    work=KINDS,
    count=st.integers(1, 12),
    page=st.sampled_from([1, 3, 1024]),
    filtered=st.booleans(),
    rate=st.sampled_from([0, 1000]),
    cut=st.integers(1, 12),
    keep=st.integers(0, 1500),
    restarted=st.booleans(),
)
def test_each_message_is_in_one_queue_after_a_crash(
    dlq: dict[str, Any],
    work: dict[str, Any],
    count: int,
    page: int,
    filtered: bool,
    rate: int,
    cut: int,
    keep: int,
    restarted: bool,
) -> None:
    node = dead_letters(count, dlq, work, page)
    if restarted:
        node = node.crash()
    options = RedriveOptions(max_per_second=rate, filter=RedriveFilter(headers={"parity": "0"} if filtered else {}))
    vhost = node.broker.vhosts["/"]
    task = vhost.redrives.start(vhost, queue(node, "dlq"), options, allowed, "guest")
    node.files.cut_at = node.files.steps + cut
    try:
        while vhost.redrives.running:
            node.clock.advance(1)
            node.broker.sync()
        expected = [number for number in range(count) if not filtered or number % 2 == 0]
        assert (task.moved, bodies(node, "work")) == (len(expected), expected)
    except PowerCut:
        pass
    node.files.power_loss(keep)
    after = node.crash()
    moved, left = bodies(after, "work"), bodies(after, "dlq")
    assert sorted(moved + left) == list(range(count))
    assert moved == sorted(moved)
    assert left == sorted(left)
    vhost = after.broker.vhosts["/"]
    vhost.redrives.start(vhost, queue(after, "dlq"), RedriveOptions(), allowed, "guest")
    after.clock.advance(10_000)
    assert sorted(bodies(after, "work")) == list(range(count))
