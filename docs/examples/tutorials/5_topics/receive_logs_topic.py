"""Print the log lines whose topic matches a pattern, until Ctrl-C. `*` is one word, `#` any number of words.

usage: receive_logs_topic.py PATTERN...     such as "kern.*" "*.critical", or "#" for everything
"""

import contextlib
import os
import sys

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")

patterns = sys.argv[1:]
if not patterns:
    sys.exit("usage: receive_logs_topic.py PATTERN...")


def on_line(channel, method, properties, body):
    print(f"received {method.routing_key}: {body.decode()}", flush=True)


with contextlib.suppress(KeyboardInterrupt), pika.BlockingConnection(pika.URLParameters(URL)) as connection:
    channel = connection.channel()
    channel.exchange_declare("topic_logs", "topic", durable=True)
    queue = channel.queue_declare("", exclusive=True).method.queue
    for pattern in patterns:
        channel.queue_bind(queue, "topic_logs", routing_key=pattern)
    channel.basic_consume(queue, on_line, auto_ack=True)
    print("waiting for logs, Ctrl-C ends", flush=True)
    channel.start_consuming()
