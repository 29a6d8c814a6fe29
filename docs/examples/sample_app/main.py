"""Programs of the shop.

usage: main.py work                           payments and mails, until Ctrl-C
       main.py order NUMBER CUSTOMER CENTS
       main.py retry payments|mails           retry all failed messages
"""

import contextlib
import os
import sys
import threading

import pika
from shop import failed, topology
from shop.mails import Mails
from shop.order import Order
from shop.orders import Orders
from shop.payments import DeclinedError, Payments
from shop.worker import Worker

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")


class Gateway:
    """Replace a real gateway. No customer has more than 1000."""

    def charge(self, number, customer, cents):
        if cents > 1000_00:
            raise DeclinedError


def work():
    workers = [
        Worker(URL, "payments", Payments(Gateway())),
        Worker(URL, "mails", Mails(lambda customer, text: print(f"to {customer}: {text}", flush=True))),
    ]
    threads = [threading.Thread(target=worker.run) for worker in workers]
    for thread in threads:
        thread.start()
    print("at work, Ctrl-C ends", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
    for worker in workers:
        worker.stop()


def order(number, customer, cents):
    orders = Orders(URL)
    orders.place(Order(number, customer, int(cents)))
    orders.close()
    print(f"order {number} is placed")


def retry(queue):
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        topology.declare(channel)
        print(f"{failed.retry(channel, queue)} back in {queue}")


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("work", "order", "retry"):
        sys.exit(__doc__)
    {"work": work, "order": order, "retry": retry}[sys.argv[1]](*sys.argv[2:])
