"""Clients that use pika: one waits for each confirm, the other acks in transactions."""

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pika

from tests.crash.clients import JOIN_TIMEOUT_S, Address, LedgerClient, Workload
from tests.crash.ledger import Ledger

#: Longest time for which a consumer does not notice that it was stopped.
POLL_S = 0.2


class PikaPublisher(LedgerClient):
    """Waits for each confirm."""

    def work(self) -> None:
        with _pika_channel(self.address) as channel:
            channel.queue_declare(self.ledger.queue, durable=True)
            channel.confirm_delivery()
            self.working.set()
            persistent = pika.BasicProperties(delivery_mode=2)
            while True:
                self.check()
                number, data = self.ledger.publish()
                channel.basic_publish("", self.ledger.queue, data, persistent, mandatory=True)
                self.ledger.confirm(number)


class PikaConsumer(LedgerClient):
    """Acks in transactions."""

    def work(self) -> None:
        with _pika_channel(self.address) as channel:
            channel.queue_declare(self.ledger.queue, durable=True)
            channel.basic_qos(prefetch_count=50)
            channel.tx_select()
            session = self.ledger.session()
            self.working.set()
            until = 1
            for method, _, data in channel.consume(self.ledger.queue, inactivity_timeout=POLL_S):
                self.check()
                if method is None:
                    continue
                session.ack(session.delivered(data, method.redelivered))
                channel.basic_ack(method.delivery_tag)
                until -= 1
                if not until:
                    until = self.chance.randint(1, 10)
                    mark = session.mark()
                    channel.tx_commit()
                    mark.confirmed()


@contextmanager
def _pika_channel(address: Address) -> Iterator[Any]:
    """Return a channel. Its connection is closed at the end, unless it is broken."""
    parameters = pika.ConnectionParameters(
        "127.0.0.1", address.port, address.vhost, blocked_connection_timeout=JOIN_TIMEOUT_S
    )
    connection = pika.BlockingConnection(parameters)
    try:
        yield connection.channel()
    finally:
        with suppress(pika.exceptions.AMQPError, OSError):
            connection.close()


def workload(chance: random.Random) -> Workload:
    """Return a queue with a publisher and a consumer."""
    ledger = Ledger("pika")
    return Workload([PikaPublisher(chance, ledger), PikaConsumer(chance, ledger)], [ledger])
