"""A vhost of a broker for tests."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amqpbroker.testing.broker import Broker


class Vhost:
    """`str()` of it is its name, as clients want to have it."""

    def __init__(self, broker: "Broker", name: str) -> None:
        self.broker = broker
        self.name = name

    @property
    def url(self) -> str:
        """As the first user: amqp://guest:guest@127.0.0.1:PORT/VHOST"""
        return self.broker.url_of(self.name)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<vhost {self.name}>"
