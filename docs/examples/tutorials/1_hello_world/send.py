"""Puts one message into the queue `hello`."""

import os

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")

with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
    channel = connection.channel()
    # Whoever comes first makes the queue; for the other this does nothing.
    channel.queue_declare("hello", durable=True)
    # The exchange "" is always there, and puts a message into the queue that its routing key names.
    channel.basic_publish(exchange="", routing_key="hello", body=b"Hello World!")
    print("sent: Hello World!")
