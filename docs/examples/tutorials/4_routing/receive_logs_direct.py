"""Print the log lines of the given severities, until Ctrl-C.

usage: receive_logs_direct.py SEVERITY...
"""

import contextlib
import os
import sys

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")

severities = sys.argv[1:]
if not severities:
    sys.exit("usage: receive_logs_direct.py SEVERITY...")


def on_line(channel, method, properties, body):
    print(f"received {method.routing_key}: {body.decode()}", flush=True)


with contextlib.suppress(KeyboardInterrupt), pika.BlockingConnection(pika.URLParameters(URL)) as connection:
    channel = connection.channel()
    channel.exchange_declare("direct_logs", "direct", durable=True)
    queue = channel.queue_declare("", exclusive=True).method.queue
    # A queue can have many bindings; a message that matches several of them is delivered once.
    for severity in severities:
        channel.queue_bind(queue, "direct_logs", routing_key=severity)
    channel.basic_consume(queue, on_line, auto_ack=True)
    print("waiting for logs, Ctrl-C ends", flush=True)
    channel.start_consuming()
