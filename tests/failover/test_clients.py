"""Client libraries with their own reconnection, through the failure of a leader."""

import asyncio

import aio_pika
import pika

from tests.failover.cluster import PATIENCE_S
from tests.failover.test_takeover import until

COUNT = 60


async def test_a_robust_connection_of_aio_pika_continues_with_the_next_leader(brokers):
    """It connects to the broker that waits, which first passes it on, and then serves it."""
    leader = brokers.leader()
    other = next(broker for broker in brokers if broker is not leader)
    until(lambda: "waiting, since" in other.log)
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
    leader = brokers.leader()
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
