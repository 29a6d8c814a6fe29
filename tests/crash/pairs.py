"""Transactions that publish to two queues, which nobody reads before the drain: both get a message, or neither."""

import random
import time

from tests.crash.clients import CrashClient, Workload
from tests.crash.ledger import Ledger
from tests.harness import published


class UnreadLedger(Ledger):
    """A queue without a consumer before the drain."""

    def is_tested(self) -> bool:
        return bool(self.confirmed)


class PairPublisher(CrashClient):
    """Publishes to two queues in one transaction."""

    def __init__(self, chance: random.Random, one: Ledger, other: Ledger) -> None:
        super().__init__(chance)
        self.ledgers = (one, other)

    def work(self) -> None:
        with self.connect() as client:
            for ledger in self.ledgers:
                ledger.declare(client)
            client.call("tx.select", "tx.select-ok")
            self.working.set()
            while True:
                numbers: list[int] = []
                for _ in range(self.chance.randint(1, 3)):
                    # Both ledgers record the pair before either message is sent: a send may fail, and the numbers stay
                    # equal.
                    pair = [(ledger.queue, *ledger.publish()) for ledger in self.ledgers]
                    for queue, _, data in pair:
                        client.send(published(queue, data, delivery_mode=2))
                    numbers.append(pair[0][1])
                client.call("tx.commit", "tx.commit-ok")
                for ledger in self.ledgers:
                    ledger.confirmed.update(numbers)
                time.sleep(0.001 * self.chance.randint(0, 5))


def workload(chance: random.Random) -> Workload:
    """Return two queues."""
    one, other = UnreadLedger("one"), UnreadLedger("other")
    return Workload([PairPublisher(chance, one, other)], [one, other])
