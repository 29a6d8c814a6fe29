"""Process the tasks of the queue `tasks`, until Ctrl-C. Several workers share the tasks.

usage: worker.py [SECONDS PER DOT]
"""

import contextlib
import os
import sys
import time

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")

seconds_per_dot = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0


def on_task(channel, method, properties, body):
    print(f"received: {body.decode()}", flush=True)
    time.sleep(body.count(b".") * seconds_per_dot)
    print("done", flush=True)
    # Acknowledge only now: if a worker crashes, its task goes to another worker.
    channel.basic_ack(method.delivery_tag)


with contextlib.suppress(KeyboardInterrupt), pika.BlockingConnection(pika.URLParameters(URL)) as connection:
    channel = connection.channel()
    channel.queue_declare("tasks", durable=True)
    # One task at a time: the next task goes to an idle worker.
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("tasks", on_task)
    print("waiting for tasks, Ctrl-C ends", flush=True)
    channel.start_consuming()
