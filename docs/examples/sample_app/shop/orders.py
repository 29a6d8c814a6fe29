"""Place orders."""

import contextlib

import pika

from shop import topology
from shop.order import tell

ATTEMPTS = 3


class NotPlacedError(Exception):
    """The shop did not receive the order; notify the customer."""


class Orders:
    """Places orders. Opens a connection if there is none."""

    def __init__(self, url):
        self._url = url
        self._channel = None

    def place(self, order):
        """Return when the broker has confirmed the order. Raises NotPlacedError."""
        for _ in range(ATTEMPTS):
            try:
                return self._place(order)
            except pika.exceptions.AMQPConnectionError:
                # It may have arrived or not, so it is sent again. The order number identifies duplicates.
                self._channel = None
            except (pika.exceptions.NackError, pika.exceptions.UnroutableError) as error:
                raise NotPlacedError(f"order {order.number}: {error!r}") from error
        raise NotPlacedError(f"order {order.number}: the broker is out of reach")

    def _place(self, order):
        if self._channel is None or self._channel.is_closed:
            self._channel = pika.BlockingConnection(pika.URLParameters(self._url)).channel()
            self._channel.confirm_delivery()
            topology.declare(self._channel)
        tell(self._channel, "order.placed", order)

    def close(self):
        with contextlib.suppress(pika.exceptions.AMQPError):  # the connection was lost unnoticed
            if self._channel is not None and self._channel.is_open:
                self._channel.connection.close()
