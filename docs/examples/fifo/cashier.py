"""Process the bookings of the queue `bookings`, one after another.

usage: cashier.py NAME [BOOKING AT WHICH TO CRASH]
"""

import os
import sys

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")


def main(name, dies_over=None):
    def on_booking(channel, method, properties, body):
        booking = body.decode()
        if booking == dies_over:
            print(f"{name}: crashes at '{booking}'", flush=True)
            # Not connection.close(): pika would cancel the consumer first, and the broker would activate the next one
            # while this booking is unacknowledged. A cashier who stops in order finishes her booking, then cancels.
            os._exit(1)
        print(f"{name}: {booking}", flush=True)
        channel.basic_ack(method.delivery_tag)

    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1)  # no next booking until this one is acknowledged
        channel.basic_consume("bookings", on_booking)
        print(f"{name}: here", flush=True)
        channel.start_consuming()


if __name__ == "__main__":
    main(*sys.argv[1:])
