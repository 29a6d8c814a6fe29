"""Cure a hot loop: a queue without and with a delay before a failed message is delivered again.

The host is down for half a second. Without a delay, the worker calls it hundreds of times. With a delay that doubles,
it makes a few calls, and the last one succeeds.

usage: main.py
"""

import os
import time

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")

DOWN_S = 0.5
RETRY = {
    "x-delayed-retry-type": "all",
    "x-delayed-retry-min": 100,
    "x-delayed-retry-max": 10_000,
    "x-delayed-retry-multiplier": 2,
    "x-delivery-limit": 10,
}


def work(channel, arguments):
    """Make one call until it succeeds. Return the number of attempts."""
    channel.queue_declare("webhooks", durable=True, arguments=arguments)
    channel.basic_publish("", "webhooks", b"example.com", pika.BasicProperties(delivery_mode=2))
    up_at = time.monotonic() + DOWN_S
    attempts = 0
    for method, _properties, _body in channel.consume("webhooks"):
        attempts += 1
        if time.monotonic() >= up_at:
            channel.basic_ack(method.delivery_tag)
            break
        channel.basic_nack(method.delivery_tag)
    channel.cancel()
    channel.queue_delete("webhooks")
    return attempts


def main(url=URL):
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        print("more than 20 attempts without a delay:", work(channel, {}) > 20)
        print("attempts with a delay:", work(channel, RETRY))


if __name__ == "__main__":
    main()
