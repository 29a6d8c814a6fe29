"""Retry a message a few times, then put it aside until another program retries it. The worker counts the attempts.

Between two attempts the message waits in another queue, so that a host that is down is not called a thousand times a
second. The header x-death counts the round trips, and the worker reads the count there.

usage: classic.py [SECONDS BETWEEN ATTEMPTS]
"""

import os
import sys

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")

ATTEMPTS = 3


def declare(channel, pause_s):
    to_wait = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "webhooks.wait"}
    to_work = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "webhooks"}
    channel.queue_declare("webhooks", durable=True, arguments=to_wait)
    channel.queue_declare("webhooks.wait", durable=True, arguments={"x-message-ttl": round(pause_s * 1000), **to_work})
    channel.queue_declare("webhooks.failed", durable=True)


def failures(properties):
    """Return how often the worker has rejected this message."""
    deaths = (properties.headers or {}).get("x-death", [])
    return sum(death["count"] for death in deaths if death["reason"] == "rejected")


def work(channel, call):
    """Make one call, with up to ATTEMPTS attempts."""
    for method, properties, body in channel.consume("webhooks"):
        attempt = failures(properties) + 1
        try:
            call(body.decode())
        except ConnectionError as error:
            print(f"attempt {attempt}: {error}")
            if attempt < ATTEMPTS:
                channel.basic_reject(method.delivery_tag, requeue=False)  # to webhooks.wait
                continue
            # Publish first, then acknowledge: a crash in between duplicates the message, but does not lose it.
            channel.basic_publish("", "webhooks.failed", body, properties)
        else:
            print(f"attempt {attempt}: called {body.decode()}")
        channel.basic_ack(method.delivery_tag)
        break
    channel.cancel()


def retry_failed(channel):
    """Retry all failed messages, as a later process does. Drops their headers, so that the count starts again."""
    while True:
        method, _properties, body = channel.basic_get("webhooks.failed")
        if method is None:
            return
        print("back to webhooks")
        channel.basic_publish("", "webhooks", body, pika.BasicProperties(delivery_mode=2))
        channel.basic_ack(method.delivery_tag)


def main(url=URL, pause_s=1.0):
    def refuse(host):
        raise ConnectionRefusedError(f"{host} is down")

    def accept(host):
        pass

    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        declare(channel, pause_s)
        channel.basic_publish("", "webhooks", b"example.com", pika.BasicProperties(delivery_mode=2))

        work(channel, refuse)
        retry_failed(channel)  # the next morning
        work(channel, accept)

        for queue in ("webhooks", "webhooks.wait", "webhooks.failed"):
            channel.queue_delete(queue)


if __name__ == "__main__":
    main(URL, *map(float, sys.argv[1:]))
