"""Publish a log line with a topic: words separated by dots, such as `kern.critical`.

usage: emit_log_topic.py TOPIC WORD...
"""

import os
import sys

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")

topic = sys.argv[1] if len(sys.argv) > 1 else "anonymous.info"
line = " ".join(sys.argv[2:]) or "Hello World!"

with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
    channel = connection.channel()
    channel.exchange_declare("topic_logs", "topic", durable=True)
    channel.basic_publish(exchange="topic_logs", routing_key=topic, body=line.encode())
    print(f"sent {topic}: {line}")
