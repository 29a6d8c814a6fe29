"""Delay messages with a queue: reminders wait in a queue without consumers until they expire.

An expired message goes to the queue's dead-letter exchange, here the default exchange, which routes it to the queue
`reminders`. Only the first message of a queue expires, so a short delay behind a long one would last as long as the
long one: each delay has its own queue. This needs no plugin; for arbitrary delays see delayed_exchange.py.

usage: wait_queue.py [SECONDS]
"""

import os
import sys

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")


def remind(channel, text, delay_s):
    delay_ms = round(delay_s * 1000)
    wait = f"reminders.in.{delay_ms}ms"
    arguments = {
        "x-message-ttl": delay_ms,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "reminders",
        "x-expires": delay_ms + 60_000,  # the queue is deleted some time after its last use
    }
    channel.queue_declare(wait, durable=True, arguments=arguments)
    channel.basic_publish("", wait, text.encode(), pika.BasicProperties(delivery_mode=2))
    print(f"requested: {text}")


def main(url=URL, delay_s=2.0):
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("reminders", durable=True)
        remind(channel, "go home", 2 * delay_s)
        remind(channel, "take the cake out", delay_s)

        for count, (method, _properties, body) in enumerate(channel.consume("reminders"), 1):
            print(f"reminder: {body.decode()}")
            channel.basic_ack(method.delivery_tag)
            if count == 2:
                break
        channel.cancel()

        for wait_s in (delay_s, 2 * delay_s):
            channel.queue_delete(f"reminders.in.{round(wait_s * 1000)}ms")
        channel.queue_delete("reminders")


if __name__ == "__main__":
    main(URL, *map(float, sys.argv[1:]))
