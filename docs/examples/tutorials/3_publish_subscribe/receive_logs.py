"""Print log lines, until Ctrl-C. Each subscriber receives every line."""

import contextlib
import os

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")


def on_line(channel, method, properties, body):
    print(f"received: {body.decode()}", flush=True)


with contextlib.suppress(KeyboardInterrupt), pika.BlockingConnection(pika.URLParameters(URL)) as connection:
    channel = connection.channel()
    channel.exchange_declare("logs", "fanout", durable=True)
    # An exclusive queue: the broker generates its name, and deletes it with this connection.
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, "logs")
    channel.basic_consume(queue, on_line, auto_ack=True)
    print("waiting for logs, Ctrl-C ends", flush=True)
    channel.start_consuming()
