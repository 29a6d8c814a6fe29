"""Steps of the wall clock: points in time follow them, durations do not."""

import pytest

from amqpbroker.clock import ManualClock
from amqpbroker.wire.values import Field, longstr
from tests.broker.exchanges.test_held import Node as HoldingNode
from tests.broker.storing import Node, bodies, depth, publish

HOUR_MS = 3_600_000
DEAD_LETTERED = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("dead")}
KINDS = {"classic": DEAD_LETTERED, "quorum": {**DEAD_LETTERED, "x-queue-type": longstr("quorum")}}


def restarted(node):
    """Return the broker after a restart; its clock starts at the time of the wall clock."""
    node.files.kill()
    return Node(node.files, ManualClock(node.clock.wall_ms()), **node.queues)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("restart", [False, True])
def test_message_expires_at_its_wall_clock_time(kind, restart):
    node = Node(q=KINDS[kind], dead={})
    client = node.client()
    publish(client, "before", expiration=str(2 * HOUR_MS))
    client.turn()
    node.clock.stepped(HOUR_MS)
    publish(client, "after", expiration=str(2 * HOUR_MS))
    client.turn()
    if restart:
        node = restarted(node)
    node.clock.advance(HOUR_MS - 1)
    assert (depth(node, "q"), depth(node, "dead")) == (2, 0)
    node.clock.advance(1)
    assert (depth(node, "q"), depth(node, "dead")) == (1, 1)
    node.clock.advance(HOUR_MS - 1)
    assert depth(node, "q") == 1
    node.clock.advance(1)
    assert bodies(node, "dead") == ["before", "after"]


def test_message_that_expired_by_a_clock_step_is_not_delivered():
    node = Node(q={})
    client = node.client()
    publish(client, "m", expiration=str(HOUR_MS))
    client.turn()
    # The message has expired even if its timer has not noticed.
    node.clock.ahead_ms = HOUR_MS
    assert bodies(node) == []


def test_x_death_time_is_wall_clock_time():
    node = Node(q=KINDS["classic"], dead={})
    client = node.client()
    node.clock.stepped(-HOUR_MS)
    publish(client, "m", expiration="1000")
    client.turn()
    node.clock.advance(1000)
    (death,) = client.get("dead").properties["headers"]["x-death"].value
    assert death.value["time"].value == node.clock.wall_ms() // 1000


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("ahead_ms", [HOUR_MS, -HOUR_MS])
def test_delayed_message_is_released_at_its_wall_clock_time(tmp_path, ahead_ms, restart):
    node = HoldingNode(tmp_path / "definitions.sqlite")
    node.publish("before", 3 * HOUR_MS)
    node.turn()
    node.clock.stepped(ahead_ms)
    node.publish("after", 3 * HOUR_MS)
    node.turn()
    if restart:
        wall_ms = node.clock.wall_ms()
        node.crash()
        node.definitions.close()
        node.clock = ManualClock(wall_ms)
        node.start()
    early, late = sorted([("before", 3 * HOUR_MS - ahead_ms), ("after", 3 * HOUR_MS)], key=lambda one: one[1])
    node.advance(early[1] - 1)
    assert node.bodies() == []
    node.advance(1)
    assert node.bodies() == [early[0]]
    node.advance(late[1] - early[1])
    assert node.bodies() == [late[0]]
    node.definitions.close()


def test_clock_step_does_not_end_queue_expiry_or_consumer_timeout():
    node = Node(q={}, unused={"x-expires": Field("I", 60_000)}, slow={"x-consumer-timeout": Field("I", 120_000)})
    client = node.client()
    publish(client, "held", queue="slow")
    client.consume("slow", no_ack=False)
    client.receive()
    for ahead_ms in (HOUR_MS, -HOUR_MS):
        node.clock.stepped(ahead_ms)
        node.clock.advance(29_000)
        assert client.receive() == []
        assert client.depth("slow") == 0
    queues = node.broker.vhosts["/"].queues
    assert "unused" in queues
    node.clock.advance(2_000)
    assert "unused" not in queues
