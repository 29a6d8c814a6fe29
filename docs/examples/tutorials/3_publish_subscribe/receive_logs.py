"""Shows the log from now on, until Ctrl-C. Everyone who runs this gets every line."""

import contextlib
import os

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")


def on_line(channel, method, properties, body):
    print(f"received: {body.decode()}", flush=True)


with contextlib.suppress(KeyboardInterrupt), pika.BlockingConnection(pika.URLParameters(URL)) as connection:
    channel = connection.channel()
    channel.exchange_declare("logs", "fanout", durable=True)
    # A queue of our own: the broker thinks of a name, and removes it when we go.
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, "logs")
    channel.basic_consume(queue, on_line, auto_ack=True)
    print("waiting for logs, Ctrl-C ends", flush=True)
    channel.start_consuming()
