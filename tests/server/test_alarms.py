"""Alarms of a real process, as pika sees them."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pika
import pytest

from tests.process import PATIENCE_S, BrokerProcess

resource = pytest.importorskip("resource")


class Publisher:
    """A connection with a queue, that keeps what it was told of alarms. Use it in a `with`."""

    def __init__(self, url):
        self.told = []
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.connection.add_on_connection_blocked_callback(lambda _, frame: self.told.append(frame.method.reason))
        self.connection.add_on_connection_unblocked_callback(lambda _, frame: self.told.append("unblocked"))
        self.channel = self.connection.channel()
        self.queue = self.channel.queue_declare("").method.queue

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        if self.connection.is_open:
            self.connection.close()

    def publish(self, body):
        self.channel.basic_publish("", self.queue, body)

    def wait_until_told(self, last):
        until = time.monotonic() + PATIENCE_S
        while self.told[-1:] != [last] and time.monotonic() < until:
            self.connection.process_data_events(0.05)
        return self.told


def drain(url, queue, count):
    """Consume so many messages."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        bodies = connection.channel().consume(queue, auto_ack=True, inactivity_timeout=PATIENCE_S)
        for _, (method, _, _) in zip(range(count), bodies, strict=False):
            assert method is not None


def fill(url, queue, count):
    """Publish so many messages of 100 kB; may take until somebody consumes."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        for _ in range(count):
            channel.basic_publish("", queue, bytes(100_000))


def test_publishers_are_blocked_by_low_memory_until_consumers_free_it(tmp_path):
    with (
        BrokerProcess(tmp_path, "--set", "vm_memory_high_watermark.absolute=80MB") as broker,
        Publisher(broker.url) as publisher,
        ThreadPoolExecutor(1) as thread,
    ):
        backlog = publisher.channel.queue_declare("").method.queue
        filled = thread.submit(fill, broker.url, backlog, 800)
        broker.wait_for_log("Publishers will be blocked until this alarm clears")
        publisher.publish(b"waits")
        assert publisher.wait_until_told("low on memory") == ["low on memory"]
        drain(broker.url, backlog, 800)
        filled.result()
        assert publisher.wait_until_told("unblocked") == ["low on memory", "unblocked"]
        publisher.publish(b"goes on")
        drain(broker.url, publisher.queue, 2)
        broker.wait_for_log("memory resource limit alarm cleared")


@pytest.mark.parametrize("limit", ["absolute=1000TB", "relative=1000"])
def test_publishers_blocked_by_low_disk_space_are_closed_by_a_stop(tmp_path, limit):
    arguments = ("--data-dir", str(tmp_path / "data"), "--set", f"disk_free_limit.{limit}")
    total = ("--set", "total_memory_available_override_value=1TB")
    with BrokerProcess(tmp_path, *arguments, *total) as broker, Publisher(broker.url) as publisher:
        publisher.publish(b"x")
        assert publisher.wait_until_told("low on disk") == ["low on disk"]
        broker.wait_for_log("Free disk space is insufficient")
        broker.signal(signal.SIGTERM)
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="320"):
            publisher.wait_until_told("goodbye")
        assert broker.wait() == 0


def test_low_disk_space_blocks_no_publishers_of_an_in_memory_broker(tmp_path):
    with (
        BrokerProcess(tmp_path, "--set", "disk_free_limit.absolute=1000TB") as broker,
        Publisher(broker.url) as publisher,
    ):
        publisher.publish(b"x")
        drain(broker.url, publisher.queue, 1)
        assert publisher.told == []


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits other processes")
def test_publishers_are_blocked_while_the_journal_cannot_be_written(tmp_path):
    with (
        BrokerProcess(tmp_path, "--data-dir", str(tmp_path / "data")) as broker,
        Publisher(broker.url) as publisher,
    ):
        publisher.channel.queue_declare("safe", durable=True)
        before = resource.prlimit(broker.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(broker.process.pid, resource.RLIMIT_FSIZE, (100_000, before[1]))
        publisher.channel.basic_publish("", "safe", bytes(200_000), pika.BasicProperties(delivery_mode=2))
        broker.wait_for_log("alarm set")
        broker.wait_for_log("[critical] <0.0.0> cannot write to ")
        broker.wait_for_log("File too large. Publishers are blocked")
        publisher.publish(b"x")
        assert publisher.wait_until_told("low on disk") == ["low on disk"]
        resource.prlimit(broker.process.pid, resource.RLIMIT_FSIZE, before)
        assert publisher.wait_until_told("unblocked") == ["low on disk", "unblocked"]
        drain(broker.url, "safe", 1)
