"""Publish a log line to all current subscribers.

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
    # A fanout exchange ignores the routing key. Without subscribers, the line is lost.
    channel.basic_publish(exchange="logs", routing_key="", body=line.encode())
    print(f"sent: {line}")
