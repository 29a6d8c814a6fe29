"""Steps of the wall clock: points in time follow them, durations do not."""

import pytest

from amqpbroker.broker.deduplication.options import Deduplication
from amqpbroker.broker.deduplication.window import Window
from amqpbroker.broker.tracking.expiries import Expiries
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.config.bounds import BOUNDS
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
@pytest.mark.parametrize("ahead_ms", [HOUR_MS, -HOUR_MS])
def test_clock_step_does_not_change_a_ttl(kind, ahead_ms):
    node = Node(q=KINDS[kind], dead={})
    client = node.client()
    publish(client, "before", expiration=str(2 * HOUR_MS))
    client.turn()
    node.clock.stepped(ahead_ms)
    publish(client, "after", expiration=str(2 * HOUR_MS))
    client.turn()
    node.clock.advance(2 * HOUR_MS - 1)
    assert (depth(node, "q"), depth(node, "dead")) == (2, 0)
    node.clock.advance(1)
    assert bodies(node, "dead") == ["before", "after"]


@pytest.mark.parametrize("kind", KINDS)
def test_ttl_is_stored_as_a_time_of_the_wall_clock(kind):
    node = Node(q=KINDS[kind], dead={})
    client = node.client()
    publish(client, "before", expiration=str(2 * HOUR_MS))
    client.turn()
    node.clock.stepped(HOUR_MS)
    publish(client, "after", expiration=str(2 * HOUR_MS))
    client.turn()
    node = restarted(node)
    node.clock.advance(HOUR_MS)
    assert (depth(node, "q"), depth(node, "dead")) == (1, 1)
    node.clock.advance(HOUR_MS - 1)
    assert depth(node, "q") == 1
    node.clock.advance(1)
    assert bodies(node, "dead") == ["before", "after"]


@pytest.mark.parametrize("ahead_ms", [HOUR_MS, -HOUR_MS])
@pytest.mark.parametrize("restart", [False, True])
def test_delivery_time_follows_the_wall_clock(ahead_ms, restart):
    timed = {"x-delivery-time-header": longstr("eta")}
    node = Node(q=timed)
    client = node.client()
    eta = Field("l", node.clock.wall_ms() + 3 * HOUR_MS)
    publish(client, "m", headers={"eta": eta})
    client.turn()
    if restart:
        node = restarted(node)
    node.clock.stepped(ahead_ms)
    node.clock.advance(3 * HOUR_MS - ahead_ms - 1)
    assert depth(node, "q") == 0
    node.clock.advance(1)
    assert bodies(node) == ["m"]


def test_x_death_time_is_wall_clock_time():
    node = Node(q=KINDS["classic"], dead={})
    client = node.client()
    node.clock.stepped(-HOUR_MS)
    publish(client, "m", expiration="1000")
    client.turn()
    node.clock.advance(1000)
    (death,) = client.get("dead").properties["headers"]["x-death"].value
    assert death.value["time"].value == node.clock.wall_ms() // 1000


@pytest.mark.parametrize("ahead_ms", [HOUR_MS, -HOUR_MS])
@pytest.mark.parametrize("restart", [False, True])
def test_delayed_exchange_holds_delays_and_moves_delivery_times(tmp_path, ahead_ms, restart):
    node = HoldingNode(tmp_path / "definitions.sqlite")
    node.publish("delay", 3 * HOUR_MS)
    eta = Field("l", node.clock.wall_ms() + 3 * HOUR_MS)
    node.client.publish("", b"time", "late", delivery_mode=2, headers={"x-opt-delivery-time": eta})
    node.turn()
    if restart:
        node.crash()
    node.clock.stepped(ahead_ms)
    times_ms = {"delay": 3 * HOUR_MS, "time": 3 * HOUR_MS - ahead_ms}
    early, late = sorted(times_ms, key=lambda body: times_ms[body])
    node.advance(times_ms[early] - 1)
    assert node.bodies() == []
    node.advance(1)
    assert node.bodies() == [early]
    node.advance(HOUR_MS)
    assert node.bodies() == [late]
    node.definitions.close()


@pytest.mark.parametrize("ahead_ms", [HOUR_MS, -HOUR_MS])
def test_clock_step_does_not_change_a_deduplication_window(ahead_ms):
    node = Node(q={})
    client = node.client()
    window = Window(Deduplication(ttl_ms=2 * HOUR_MS), node.clock, node.persistence)
    publish(client, "m", message_id="1")
    message = node.broker.vhosts["/"].queues["q"].ready.head().message
    window.remember(b"1", message, 0, False)
    node.clock.stepped(ahead_ms)
    node.clock.advance(2 * HOUR_MS - 1)
    assert window.has(b"1")
    node.clock.advance(1)
    assert not window.has(b"1")


@pytest.mark.parametrize("ahead_ms", [HOUR_MS, -HOUR_MS])
def test_batches_and_jobs_expire_in_spite_of_clock_steps(ahead_ms):
    clock = ManualClock()
    expired = []
    expiries = Expiries(clock, expired.append)
    expiries.set(b"a", clock.wall_ms() + 2 * HOUR_MS)
    clock.stepped(ahead_ms)
    clock.advance(2 * HOUR_MS - 1)
    assert expired == []
    clock.advance(1)
    assert expired == [b"a"]


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


class SmallPages(Node):
    config = Config(bounds=BOUNDS._replace(page_count=4, least_page_count=2))


@pytest.mark.parametrize("ahead_ms", [HOUR_MS, -HOUR_MS])
def test_paged_delivery_times_and_their_ttl_follow_the_wall_clock(ahead_ms):
    node = SmallPages(q={"x-delivery-time-header": longstr("eta")})
    client = node.client()
    eta = Field("l", node.clock.wall_ms() + 3 * HOUR_MS)
    for number in range(40):
        publish(client, str(number), headers={"eta": eta}, expiration=str(HOUR_MS))
    client.turn()
    assert node.broker.vhosts["/"].queues["q"].dispatcher.delayed.paged_out > 20
    node.clock.stepped(ahead_ms)
    node.clock.advance(3 * HOUR_MS - ahead_ms - 1)
    assert depth(node, "q") == 0
    node.clock.advance(HOUR_MS)
    assert bodies(node) == [str(number) for number in range(40)]
