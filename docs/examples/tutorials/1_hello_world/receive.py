"""Print the messages of the queue `hello`, until Ctrl-C."""

import contextlib
import os

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")


def on_message(channel, method, properties, body):
    print(f"received: {body.decode()}", flush=True)


with contextlib.suppress(KeyboardInterrupt), pika.BlockingConnection(pika.URLParameters(URL)) as connection:
    channel = connection.channel()
    channel.queue_declare("hello", durable=True)
    channel.basic_consume("hello", on_message, auto_ack=True)
    print("waiting for messages, Ctrl-C ends", flush=True)
    channel.start_consuming()
