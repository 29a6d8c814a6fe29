"""Acknowledgements that were sent shortly before the leader was killed: none of them waits for further traffic."""

import time

import pytest

from tests.failover.test_failover import slowness
from tests.failover.test_takeover import channel_of, follower, publish

#: Time from the last acknowledgement to the end of the leader, on a machine with processors to spare.
OLD_S = 0.1
COUNT = 40


def deliveries(channel):
    """Consume all messages; return their delivery tags in order."""
    tags = []
    for method, _, _ in channel.consume("q", inactivity_timeout=30):
        assert method is not None, tags
        tags.append(method.delivery_tag)
        if len(tags) == COUNT:
            return tags
    raise AssertionError("the consumer was cancelled")


def ack_each(channel, tags):
    for tag in reversed(tags):
        channel.basic_ack(tag)


def ack_all(channel, tags):
    channel.basic_ack(tags[-1], multiple=True)


def reject(channel, tags):
    for tag in tags:
        channel.basic_reject(tag, requeue=False)


WAYS = {"each": ack_each, "all": ack_all, "rejected": reject}


@pytest.mark.parametrize(
    ("relayed", "way", "kind"),
    [(False, "each", "classic"), (True, "each", "quorum"), (True, "all", "classic"), (False, "rejected", "quorum")],
)
def test_acknowledgements_are_safe_soon_although_nothing_else_is_written(brokers, relayed, way, kind):
    leader = brokers.settled()["/"]
    with channel_of(follower(brokers, leader) if relayed else leader) as channel:
        channel.queue_declare("q", durable=True, arguments={"x-queue-type": kind})
        publish(channel, *range(COUNT))
        WAYS[way](channel, deliveries(channel))
        # pika has written them to its socket.
        time.sleep(OLD_S * slowness())
        leader.kill()
    with channel_of(brokers.leader(leader)) as channel:
        assert channel.queue_declare("q", passive=True).method.message_count == 0
