"""Premium customers first: orders with a higher priority leave the queue before orders that arrived earlier.

Priority affects only messages that wait in the queue. A message that was already sent to a consumer is not overtaken,
so the prefetch is 1.
"""

import os

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")

NORMAL, PREMIUM = 0, 1

ORDERS = [("Ann", NORMAL), ("Bob", NORMAL), ("Cleo", PREMIUM), ("Dave", NORMAL), ("Eve", PREMIUM)]


def main(url=URL):
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        # Only the levels in use: each level costs a little, and RabbitMQ advises against more than 10.
        channel.queue_declare("orders", durable=True, arguments={"x-max-priority": PREMIUM})
        for customer, priority in ORDERS:
            properties = pika.BasicProperties(delivery_mode=2, priority=priority)
            channel.basic_publish("", "orders", customer.encode(), properties)
            print(f"order of {customer}{' (premium)' if priority == PREMIUM else ''}")

        channel.basic_qos(prefetch_count=1)
        for served, (method, _properties, body) in enumerate(channel.consume("orders"), 1):
            print(f"served: {body.decode()}")
            channel.basic_ack(method.delivery_tag)
            if served == len(ORDERS):
                break
        channel.cancel()
        channel.queue_delete("orders")


if __name__ == "__main__":
    main()
