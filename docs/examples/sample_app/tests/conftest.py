"""A shop for each test: its vhost, its workers, and fakes of the bank and the mail server."""

import queue
import threading

import pika
import pytest
from shop import failed, topology, worker
from shop.mails import Mails
from shop.order import Order
from shop.orders import Orders
from shop.payments import DeclinedError, Payments
from shop.worker import TryAgainLater, Worker


class Bank:
    """Fake bank. down: the number of further calls that fail. charged: the amount charged for each order."""

    def __init__(self):
        self.down = 0
        self.charged = {}

    def charge(self, number, customer, cents):
        if self.down:
            self.down -= 1
            raise TryAgainLater("the bank cannot be reached")
        if customer == "poor":
            raise DeclinedError
        self.charged[number] = cents


class Shop:
    """The shop's workers, bank and mails. broker: the test's vhost of the broker."""

    def __init__(self, broker):
        self.broker = broker
        self.bank = Bank()
        self.orders = Orders(broker.url)
        self._mails = queue.Queue()
        self._workers = {}

    def open(self, payments_worker=Worker):
        """Start the workers. Returns when all of them consume."""
        for who in (
            payments_worker(self.broker.url, "payments", Payments(self.bank)),
            Worker(self.broker.url, "mails", Mails(lambda customer, text: self._mails.put(f"{customer}: {text}"))),
        ):
            self._workers[who] = threading.Thread(target=who.run)
            self._workers[who].start()
        for name in topology.QUEUES:
            self.broker.wait_until(queue=name, consumers=1)

    def order(self, number, customer="ann", cents=4200):
        self.orders.place(Order(number, customer, cents))

    def mail(self):
        """Wait for the next mail and return it."""
        return self._mails.get(timeout=5)

    def rest(self):
        """Return when all work is done.

        Call it before the clock moves: a worker that holds a message for days of the broker's time would run into the
        consumer timeout.
        """
        for name in topology.QUEUES:
            self.broker.wait_until(queue=name, ready=0, unacked=0, consumers=1)

    def no_mail(self):
        self.rest()
        return self._mails.empty()

    def retry(self, name):
        with pika.BlockingConnection(pika.URLParameters(self.broker.url)) as connection:
            return failed.retry(connection.channel(), name)

    def close(self):
        for who in self._workers:
            who.stop()
        for thread in self._workers.values():
            thread.join()
        self.orders.close()


@pytest.fixture
def shop(amqp_vhost, monkeypatch):
    monkeypatch.setattr(worker, "RECONNECT_S", 0.01)
    shop = Shop(amqp_vhost)
    yield shop
    shop.close()


@pytest.fixture
def clock(amqp_broker):
    return amqp_broker.clock
