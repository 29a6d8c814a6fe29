"""Strictly first in, first out, with a second consumer that stands by.

A queue keeps the order, but two consumers at once would not: the second message may be done before the first. With a
single active consumer only one of them gets messages. When it dies, what it had not acknowledged goes back to the
front, and the next consumer continues right there.
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
    """Show what the cashier says, up to what is waited for."""
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
                listen(bob, until="here")  # consumes as well, and gets nothing as long as Ann is there
                for booking in BOOKINGS:
                    channel.basic_publish("", "bookings", booking.encode(), pika.BasicProperties(delivery_mode=2))
                listen(ann, until="dies")
                listen(bob, until=BOOKINGS[-1])
                bob.kill()

        channel.queue_delete("bookings")


if __name__ == "__main__":
    main()
