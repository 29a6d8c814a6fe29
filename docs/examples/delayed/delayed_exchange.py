"""Delay messages with an exchange that holds each message for the milliseconds in its header x-delay.

Each message can have any delay. In RabbitMQ the exchange type x-delayed-message is a plugin
(rabbitmq_delayed_message_exchange); in amqpbroker it is built in.

usage: delayed_exchange.py [SECONDS]
"""

import os
import sys

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")


def remind(channel, text, delay_s):
    properties = pika.BasicProperties(delivery_mode=2, headers={"x-delay": round(delay_s * 1000)})
    channel.basic_publish("later", "reminders", text.encode(), properties)
    print(f"requested: {text}")


def main(url=URL, delay_s=2.0):
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        # When the delay is over, route like a direct exchange.
        channel.exchange_declare("later", "x-delayed-message", durable=True, arguments={"x-delayed-type": "direct"})
        channel.queue_declare("reminders", durable=True)
        channel.queue_bind("reminders", "later", routing_key="reminders")
        remind(channel, "go home", 2 * delay_s)
        remind(channel, "take the cake out", delay_s)

        for count, (method, _properties, body) in enumerate(channel.consume("reminders"), 1):
            print(f"reminder: {body.decode()}")
            channel.basic_ack(method.delivery_tag)
            if count == 2:
                break
        channel.cancel()

        channel.queue_delete("reminders")
        channel.exchange_delete("later")


if __name__ == "__main__":
    main(URL, *map(float, sys.argv[1:]))
