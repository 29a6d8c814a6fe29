"""Publish a message to the queue `hello`."""

import os

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")

with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
    channel = connection.channel()
    # The program that starts first creates the queue; for the other one this has no effect.
    channel.queue_declare("hello", durable=True)
    # The default exchange "" always exists, and routes a message to the queue that its routing key names.
    channel.basic_publish(exchange="", routing_key="hello", body=b"Hello World!")
    print("sent: Hello World!")
