"""Sends a line of a log to everybody who listens right now.

usage: emit_log.py WORD...
"""

import os
import sys

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")

line = " ".join(sys.argv[1:]) or "info: Hello World!"

with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
    channel = connection.channel()
    channel.exchange_declare("logs", "fanout", durable=True)
    # A fanout exchange looks at no routing key. Where nobody listens, the line is gone.
    channel.basic_publish(exchange="logs", routing_key="", body=line.encode())
    print(f"sent: {line}")
