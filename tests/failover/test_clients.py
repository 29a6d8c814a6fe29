"""Client libraries with their own reconnection, through the failure of a leader."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import aio_pika
import pika
import pytest
from kombu.exceptions import OperationalError

from tests.failover import celery_app
from tests.failover.cluster import PATIENCE_S
from tests.failover.test_takeover import until

AMQPLIB = Path(__file__).parent.parent.parent / "interop" / "amqplib" / "node_modules"

#: Time in which a worker should end.
ENDS_S = 5.0
COUNT = 60


async def test_a_robust_connection_of_aio_pika_continues_with_the_next_leader(brokers):
    """It connects to the other broker, which first passes it on to the leader, and then serves it."""
    leader = brokers.settled()["/"]
    other = next(broker for broker in brokers if broker is not leader)
    url = f"amqp://guest:guest@127.0.0.1:{other.port()}/"
    connection = await aio_pika.connect_robust(url, reconnect_interval=0.2)
    received = set()

    async def receive(message):
        async with message.process():
            received.add(int(message.body))

    channel = await connection.channel(publisher_confirms=True)
    queue = await channel.declare_queue("q", durable=True)
    await queue.consume(receive)

    async def publish(number):
        message = aio_pika.Message(b"%d" % number, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        confirmed = False
        while not confirmed:
            try:
                await asyncio.wait_for(channel.default_exchange.publish(message, "q"), 5)
                confirmed = True
            except (aio_pika.exceptions.AMQPError, ConnectionError, RuntimeError, TimeoutError):
                await asyncio.sleep(0.1)

    for number in range(COUNT):
        if number == COUNT // 2:
            leader.kill()
        await publish(number)
    async with asyncio.timeout(PATIENCE_S):
        while len(received) < COUNT:
            await asyncio.sleep(0.05)
    assert received == set(range(COUNT))
    assert other.leads
    await connection.close()


def test_pika_connects_to_the_broker_of_several_that_leads_next(brokers):
    leader = brokers.settled()["/"]
    hosts = [
        pika.ConnectionParameters("127.0.0.1", broker.port(), connection_attempts=20, retry_delay=0.2)
        for broker in sorted(brokers, key=lambda broker: broker is not leader)
    ]
    sent = 0
    while sent < COUNT:
        try:
            connection = pika.BlockingConnection(hosts)
            channel = connection.channel()
            channel.queue_declare("q", durable=True)
            channel.confirm_delivery()
            while sent < COUNT:
                if sent == COUNT // 2 and leader.is_running:
                    leader.kill()
                channel.basic_publish("", "q", b"%d" % sent, pika.BasicProperties(delivery_mode=2))
                sent += 1
        except pika.exceptions.AMQPError:
            continue
    found = [int(body) for _, _, body in iter(lambda: channel.basic_get("q", auto_ack=True), (None, None, None))]
    # A message whose confirm was lost with the leader is published again.
    assert sorted(set(found)) == list(range(COUNT))
    assert len(found) <= COUNT + 1
    connection.close()


def urls_of(brokers, first):
    """Return the URLs of all brokers, beginning with one of them."""
    ordered = sorted(brokers, key=lambda broker: broker is not first)
    return [f"amqp://guest:guest@127.0.0.1:{broker.port()}/" for broker in ordered]


@pytest.fixture
def worker(brokers, tmp_path):
    """A worker of Celery: an application that sends it tasks, and the file with those that it has executed."""
    leader = brokers.settled()["/"]
    urls = ";".join(urls_of(brokers, leader))
    executed = tmp_path / "executed"
    executed.touch()
    command = [sys.executable, "-m", "celery", "-A", "tests.failover.celery_app", "worker", "--concurrency=2"]
    with (tmp_path / "worker.log").open("wb") as log:
        started = subprocess.Popen(
            [*command, "--loglevel=INFO"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env=os.environ | {"AMQP_URLS": urls, "EXECUTED": str(executed)},
        )  # fmt: skip
    sender = celery_app.application(urls)
    yield sender, executed
    sender.close()
    # A cold shutdown, since no task is left that a warm one would wait for; then also of processes of the pool.
    # Celery sometimes does not end after a failover, which is not tested here.
    started.send_signal(signal.SIGQUIT)
    with suppress(subprocess.TimeoutExpired):
        started.wait(ENDS_S)
    with suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.wait()


@pytest.mark.parametrize("task", [celery_app.record.name, celery_app.record_late.name])
def test_celery_executes_all_confirmed_tasks_through_a_failover(brokers, worker, task):
    sender, executed = worker
    leader = brokers.settled()["/"]
    for number in range(COUNT):
        if number == COUNT // 2:
            leader.kill()
        confirmed = False
        end = time.monotonic() + PATIENCE_S
        while not confirmed:
            assert time.monotonic() < end
            with suppress(OperationalError):
                sender.send_task(task, (number,))
                confirmed = True
    until(lambda: set(executed.read_text().split()) == {str(number) for number in range(COUNT)})


@pytest.mark.parametrize("how", ["loop", "recovery"])
def test_amqplib_connects_again_in_a_loop_and_by_its_own_recovery(brokers, how):
    node = shutil.which("node")
    if node is None or not (AMQPLIB / "amqplib").exists():
        pytest.skip("amqplib is not installed")
    leader = brokers.settled()["/"]
    other = next(broker for broker in brokers if broker is not leader)
    # Its recovery connects to the same broker again, which here is the one that is left.
    urls = urls_of(brokers, leader if how == "loop" else other)
    command = [node, str(Path(__file__).parent / "amqplib.cjs"), how, str(COUNT), *urls]
    confirmed, received = [], []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"NODE_PATH": str(AMQPLIB)}
    ) as script:
        limit = threading.Timer(PATIENCE_S, script.kill)
        limit.start()
        for line in script.stdout:
            word, number = line.split()
            (confirmed if word == "confirmed" else received).append(int(number))
            if word == "confirmed" and len(confirmed) == COUNT // 2:
                leader.kill()
        limit.cancel()
        assert script.wait() == 0
    assert confirmed == list(range(COUNT))
    assert set(received) == set(range(COUNT))
    assert other.leads
