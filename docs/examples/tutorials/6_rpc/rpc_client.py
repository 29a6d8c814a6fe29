"""Request a Fibonacci number from the server.

usage: rpc_client.py [N]
"""

import os
import sys
import uuid

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")


class Client:
    def __init__(self, connection):
        self.connection = connection
        self.channel = connection.channel()
        self.replies = self.channel.queue_declare("", exclusive=True).method.queue
        self.channel.basic_consume(self.replies, self.on_reply, auto_ack=True)
        self.asked = self.answer = None

    def on_reply(self, channel, method, properties, body):
        if properties.correlation_id == self.asked:  # not a late reply to an earlier request
            self.answer = int(body)

    def fibonacci(self, n):
        self.answer, self.asked = None, str(uuid.uuid4())
        properties = pika.BasicProperties(reply_to=self.replies, correlation_id=self.asked)
        self.channel.basic_publish("", "rpc", str(n).encode(), properties)
        while self.answer is None:
            self.connection.process_data_events(time_limit=None)
        return self.answer


n = int(sys.argv[1]) if len(sys.argv) > 1 else 30

with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
    print(f"fibonacci({n}) = {Client(connection).fibonacci(n)}")
