"""Publish a log line with its severity as the routing key.

usage: emit_log_direct.py SEVERITY WORD...
"""

import os
import sys

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")

severity = sys.argv[1] if len(sys.argv) > 1 else "info"
line = " ".join(sys.argv[2:]) or "Hello World!"

with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
    channel = connection.channel()
    channel.exchange_declare("direct_logs", "direct", durable=True)
    channel.basic_publish(exchange="direct_logs", routing_key=severity, body=line.encode())
    print(f"sent {severity}: {line}")
