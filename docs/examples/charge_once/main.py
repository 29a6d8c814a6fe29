"""Exactly one charge of a credit card, although the shop publishes the charge three times.

The shop loses its connection after it has published the charge, and before the confirm arrives. It cannot know whether
the broker has the message, so it publishes it again, and once more because its user presses the button again. The queue
recognises the order number, and drops the repetitions.
"""

import os

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")

# Repetitions come within a day: longer than any retry of the shop.
ONCE = {"x-message-deduplication": True, "x-cache-ttl": 24 * 3600 * 1000}


def connect():
    connection = pika.BlockingConnection(pika.URLParameters(URL))
    channel = connection.channel()
    channel.queue_declare("charges", durable=True, arguments=ONCE)
    return connection, channel


def charge(channel, order, amount):
    properties = pika.BasicProperties(delivery_mode=2, headers={"x-deduplication-header": order})
    channel.basic_publish("", "charges", f"{amount} EUR for {order}".encode(), properties, mandatory=True)


def main():
    connection, channel = connect()
    charge(channel, "order 17", 30)
    print("shop: published the charge, and lost the connection before the confirm")
    connection.close()

    connection, channel = connect()
    channel.confirm_delivery()  # basic_publish now returns when the charge is confirmed
    charge(channel, "order 17", 30)
    print("shop: published it again, confirmed")
    charge(channel, "order 17", 30)
    print("shop: the user pressed the button again, confirmed")
    charge(channel, "order 18", 5)
    print("shop: published another order, confirmed")

    while True:
        method, _, body = channel.basic_get("charges")
        if method is None:
            break
        print(f"bank: charges {body.decode()}")
        channel.basic_ack(method.delivery_tag)

    charge(channel, "order 17", 30)
    print("shop: published the paid charge again, confirmed")
    left = channel.queue_declare("charges", passive=True).method.message_count
    print(f"bank: {left} charges left")

    channel.queue_delete("charges")
    connection.close()


if __name__ == "__main__":
    main()
