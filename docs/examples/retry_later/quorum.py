"""Retry a message a few times, then put it aside until another program retries it. The queue counts the attempts.

A quorum queue counts failed deliveries of each message. Beyond x-delivery-limit, the message goes to the dead-letter
queue. This includes deliveries to workers that crash, which could not count them.
"""

import os

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")

ATTEMPTS = 3


def declare(channel):
    arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": ATTEMPTS - 1,  # the number of times that a message may return
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "webhooks.failed",
    }
    channel.queue_declare("webhooks", durable=True, arguments=arguments)
    channel.queue_declare("webhooks.failed", durable=True, arguments={"x-queue-type": "quorum"})


def work(channel, call):
    """Make all queued calls, until the queue stays empty. A failed call returns to the queue, which counts it."""
    for method, properties, body in channel.consume("webhooks", inactivity_timeout=1):
        if method is None:
            break
        attempt = (properties.headers or {}).get("x-delivery-count", 0) + 1
        try:
            call(body.decode())
        except ConnectionError as error:
            print(f"attempt {attempt}: {error}")
            channel.basic_nack(method.delivery_tag)
        else:
            print(f"attempt {attempt}: called {body.decode()}")
            channel.basic_ack(method.delivery_tag)
    channel.cancel()


def retry_failed(channel):
    """Retry all failed messages, as a later process does. Acknowledges each after its publish is confirmed."""
    while True:
        method, properties, body = channel.basic_get("webhooks.failed")
        if method is None:
            return
        death = properties.headers["x-death"][0]
        print(f"back to {death['queue']}, which gave up because of {death['reason']}")
        channel.basic_publish("", death["queue"], body, pika.BasicProperties(delivery_mode=2))
        channel.basic_ack(method.delivery_tag)


def main(url=URL):
    def refuse(host):
        raise ConnectionRefusedError(f"{host} is down")

    def accept(host):
        pass

    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        declare(channel)
        channel.basic_publish("", "webhooks", b"example.com", pika.BasicProperties(delivery_mode=2))

        work(channel, refuse)
        retry_failed(channel)  # the next morning
        work(channel, accept)

        channel.queue_delete("webhooks")
        channel.queue_delete("webhooks.failed")


if __name__ == "__main__":
    main()
