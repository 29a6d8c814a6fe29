"""Add a task to the queue `tasks`; each dot in it is a second of work.

usage: new_task.py WORD...
"""

import os
import sys

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")

task = " ".join(sys.argv[1:]) or "Hello World..."

with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
    channel = connection.channel()
    # A durable queue and a persistent message survive a restart of the broker.
    channel.queue_declare("tasks", durable=True)
    persistent = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)
    channel.basic_publish(exchange="", routing_key="tasks", body=task.encode(), properties=persistent)
    print(f"sent: {task}")
