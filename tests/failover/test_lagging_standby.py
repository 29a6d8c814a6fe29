"""Promotion of a standby that does not have what was confirmed: a broker reports it, and never as another failure."""

import time

import pika
import pytest

from amqpbroker.store.database.session import LOST
from tests.failover.cluster import Brokers, Databases
from tests.failover.test_takeover import PERSISTENT, bodies, channel_of, follower, publish, until
from tests.seeds import sampled

#: Text of a broker that takes over.
MAY_BE_LOST = "messages that were confirmed may be lost"
LEASE_S = 1.5

STREAM = {"x-queue-type": "stream"}


class Lagging:
    """Two brokers, a primary with the messages 0 to 9, and a standby that receives nothing from `cut` on.

    leader, other: the broker that leads the default vhost, and the other one.
    """

    def __init__(self, tmp_path):
        self.databases = Databases(standbys=2)
        self.brokers = Brokers(tmp_path, self.databases, 2, LEASE_S)
        self.leader = self.brokers.settled()["/"]
        self.other = follower(self.brokers, self.leader)
        with channel_of(self.leader) as channel:
            channel.queue_declare("q", durable=True)
            channel.queue_declare("s", durable=True, arguments=STREAM)
            publish(channel, *range(10))

    def cut(self):
        (sent,) = self.databases.primary.execute("SELECT pg_current_wal_lsn()")[0]
        behind = f"SELECT pg_last_wal_receive_lsn() < '{sent}'"
        until(lambda: not self.databases.servers[-1].execute(behind)[0][0])
        self._standby = self.databases.cut_standby()

    def promote(self):
        self.databases.fail_over(self._standby)

    def close(self):
        self.brokers.close()
        self.databases.close()


@pytest.fixture
def lagging(tmp_path):
    made = Lagging(tmp_path)
    yield made
    made.close()


def publish_on(channel):
    publish(channel, *range(10, 20))


def declare(channel):
    channel.queue_declare("new", durable=True)


def publish_to_stream(channel):
    channel.confirm_delivery()
    channel.basic_publish("", "s", b"0", PERSISTENT)


def check(lagging, leader):
    """Check that the broker reports the loss, and that the vhost is served again with what is left."""
    until(lambda: f"vhost '/': {LOST}" in leader.log)
    # Both take part in the same process.
    assert set(lagging.brokers.settled()) == {"/"}
    assert bodies(lagging.other) == list(range(10))
    with channel_of(lagging.other) as channel:
        publish(channel, 20)
    assert bodies(lagging.leader) == [20]
    assert "Traceback" not in lagging.brokers.logs
    # The leader gives the vhost up. The other broker, which had read what is lost, reports it if it leads next.
    assert MAY_BE_LOST not in leader.log


@pytest.mark.parametrize("write", sampled([publish_on, declare, publish_to_stream], 1))
def test_a_leader_whose_last_write_is_lost_reads_the_vhost_again(lagging, write):
    lagging.cut()
    with channel_of(lagging.leader) as channel:
        write(channel)
        lagging.promote()
        with pytest.raises(pika.exceptions.AMQPError):
            publish(channel, 20)
    check(lagging, lagging.leader)


def test_a_leader_without_traffic_whose_last_write_is_lost_reads_the_vhost_again(lagging):
    lagging.cut()
    with channel_of(lagging.leader) as channel:
        publish_on(channel)
        lagging.promote()
        until(lambda: f"vhost '/': {LOST}" in lagging.leader.log)
    check(lagging, lagging.leader)


def test_a_leader_whose_takeover_is_lost_reads_the_vhost_again(lagging):
    """The promoted standby only knows of the leader before it."""
    lagging.cut()
    lagging.leader.kill()
    leader = lagging.brokers.leader()
    with channel_of(leader) as channel:
        publish_on(channel)
        lagging.brokers.start_missing()
        for broker in lagging.brokers:
            broker.port()
        lagging.promote()
    check(lagging, leader)


def test_a_broker_that_takes_over_reports_what_it_has_read_and_cannot_find(lagging):
    """The leader is lost together with the primary."""
    lagging.cut()
    with channel_of(lagging.leader) as channel:
        publish_on(channel)
        # The other broker reads it.
        time.sleep(1)
        lagging.leader.kill()
    lagging.promote()
    other = lagging.brokers.leader()
    assert other is lagging.other
    assert MAY_BE_LOST in other.log
    assert bodies(other) == list(range(10))
