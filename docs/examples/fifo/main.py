"""Strict order with a second consumer in standby.

A queue keeps the order, but two concurrent consumers might finish the second message before the first. With a single
active consumer, only one of them receives messages. When it crashes, its unacknowledged messages return to the front,
and the next consumer continues from there.
"""

import os
import subprocess
import sys
from pathlib import Path

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")

CASHIER = Path(__file__).with_name("cashier.py")

BOOKINGS = ["open the account", "deposit 100", "withdraw 80", "withdraw 20", "close the account"]


def start_cashier(*arguments):
    command = [sys.executable, str(CASHIER), *arguments]
    return subprocess.Popen(command, env=os.environ | {"AMQP_URL": URL}, stdout=subprocess.PIPE, text=True)


def listen(cashier, *, until):
    """Print the cashier's output up to the expected line."""
    for line in cashier.stdout:
        print(line, end="")
        if until in line:
            return
    raise RuntimeError(f"the cashier ended before saying {until!r}")


def main():
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("bookings", durable=True, arguments={"x-single-active-consumer": True})

        with start_cashier("Ann", "withdraw 80") as ann:
            listen(ann, until="here")
            with start_cashier("Bob") as bob:
                listen(bob, until="here")  # consumes too, and receives nothing while Ann is connected
                for booking in BOOKINGS:
                    channel.basic_publish("", "bookings", booking.encode(), pika.BasicProperties(delivery_mode=2))
                listen(ann, until="crashes")
                listen(bob, until=BOOKINGS[-1])
                bob.kill()

        channel.queue_delete("bookings")


if __name__ == "__main__":
    main()
