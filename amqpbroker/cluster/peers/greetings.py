"""Connections at the port for other brokers that have not proven to be one: their number, shared among addresses."""

import asyncio
from collections import Counter
from typing import final

from amqpbroker.broker.users.login_guard import network


@final
class Greetings:
    """Connections whose greetings are awaited, in the order in which they came."""

    def __init__(self, most: int) -> None:
        """most: number of connections at a time."""
        self._most = most
        self._addresses: dict[asyncio.Task[None], str] = {}
        self._counts: Counter[str] = Counter()

    def accepts(self, host: str) -> bool:
        """Return whether one more connection from an address may come.

        If there are as many as may be, the oldest one from the address with the most has to go, unless the new one
        would have as many: an address that sends no greetings must not keep other brokers out.
        """
        if len(self._addresses) < self._most:
            return True
        address, count = self._counts.most_common(1)[0]
        if self._counts[network(host)] + 1 >= count:
            return False
        oldest = next(task for task, each in self._addresses.items() if each == address)
        self._remove(oldest)
        oldest.cancel()
        return True

    def add(self, greeting: asyncio.Task[None], host: str) -> None:
        """Count a connection from an address until its task is done."""
        address = network(host)
        self._addresses[greeting] = address
        self._counts[address] += 1
        greeting.add_done_callback(self._remove)

    def _remove(self, greeting: asyncio.Task[None]) -> None:
        address = self._addresses.pop(greeting, None)
        if address is not None:
            self._counts[address] -= 1
            if not self._counts[address]:
                del self._counts[address]

    async def close(self) -> None:
        """End all connections."""
        tasks = list(self._addresses)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
