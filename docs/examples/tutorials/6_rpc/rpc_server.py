"""Calculate the requested Fibonacci numbers, until Ctrl-C. Several servers share the requests."""

import contextlib
import os

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")


def fibonacci(n):
    first, second = 0, 1
    for _ in range(n):
        first, second = second, first + second
    return first


def on_question(channel, method, properties, body):
    print(f"fibonacci({body.decode()})", flush=True)
    # The client has named the queue for the reply and the id of the request.
    answer = pika.BasicProperties(correlation_id=properties.correlation_id)
    channel.basic_publish("", properties.reply_to, str(fibonacci(int(body))).encode(), answer)
    channel.basic_ack(method.delivery_tag)


with contextlib.suppress(KeyboardInterrupt), pika.BlockingConnection(pika.URLParameters(URL)) as connection:
    channel = connection.channel()
    channel.queue_declare("rpc", durable=True)
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("rpc", on_question)
    print("waiting for questions, Ctrl-C ends", flush=True)
    channel.start_consuming()
