"""An order, and the messages about it."""

import dataclasses
import json
from dataclasses import dataclass

import pika

from shop.topology import LATER, SHOP


@dataclass(frozen=True)
class Order:
    number: str
    customer: str
    cents: int

    def to_bytes(self):
        return json.dumps(dataclasses.asdict(self)).encode()

    @classmethod
    def from_bytes(cls, body):
        return cls(**json.loads(body))


def tell(channel, what, order, *, in_days=0):
    """Publish an event such as tell(channel, "order.paid", order), now or in some days.

    Returns once the broker has confirmed it. Raises UnroutableError if no queue is bound for it, NackError if the
    broker refuses it, AMQPConnectionError if the result is unknown.
    """
    properties = pika.BasicProperties(delivery_mode=2, message_id=f"{what} {order.number}")
    if not in_days:
        channel.basic_publish(SHOP, what, order.to_bytes(), properties, mandatory=True)
    else:
        properties.headers = {"x-delay": in_days * 24 * 60 * 60 * 1000}
        channel.basic_publish(LATER, what, order.to_bytes(), properties)  # it is routed when it is due
