"""An order, and how it goes through the broker."""

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
    """Tell everybody whom it concerns, such as tell(channel, "order.paid", order), now or in some days.

    Returns once the broker is answerable for it. Raises UnroutableError when it concerns nobody, NackError when the
    broker refuses it, AMQPConnectionError when nobody knows.
    """
    properties = pika.BasicProperties(delivery_mode=2, message_id=f"{what} {order.number}")
    if not in_days:
        channel.basic_publish(SHOP, what, order.to_bytes(), properties, mandatory=True)
    else:
        properties.headers = {"x-delay": in_days * 24 * 60 * 60 * 1000}
        channel.basic_publish(LATER, what, order.to_bytes(), properties)  # where it goes is looked up when it is due
