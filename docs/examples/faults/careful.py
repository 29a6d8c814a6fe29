"""A shop that loses no order and books none twice, even if its connections fail."""

import contextlib
import uuid

import pika
from pika.exceptions import AMQPConnectionError, NackError

QUEUE = "orders"
ATTEMPTS = 10


def connect(url):
    channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
    channel.queue_declare(QUEUE, durable=True)
    return channel


class Till:
    """Accepts orders. Sends each order again until the broker has confirmed it."""

    def __init__(self, url):
        self._url = url
        self._channel = None

    def take(self, order):
        properties = pika.BasicProperties(message_id=str(uuid.uuid4()), delivery_mode=2)
        for _ in range(ATTEMPTS):
            with contextlib.suppress(AMQPConnectionError, NackError):
                if self._channel is None or not self._channel.is_open:
                    self._channel = self._connect()
                self._publish(order.encode(), properties)
                return
        raise RuntimeError(f"no broker takes the order {order}")

    def _connect(self):
        channel = connect(self._url)
        channel.confirm_delivery()
        return channel

    def _publish(self, body, properties):
        self._channel.basic_publish("", QUEUE, body, properties)

    def close(self):
        if self._channel is not None and self._channel.is_open:
            with contextlib.suppress(AMQPConnectionError):
                self._channel.connection.close()


class Books:
    """Books orders. Recognises a repeated order, whose acknowledgement or confirm was lost, by its id."""

    def __init__(self, url):
        self.booked = []
        self._ids = set()
        self._url = url

    def book_all(self):
        """Book orders until the queue is empty."""
        for _ in range(ATTEMPTS):
            with contextlib.suppress(AMQPConnectionError):
                channel = connect(self._url)
                while self._book_one(channel):
                    pass
                channel.connection.close()
                return
        raise RuntimeError("no broker has orders")

    def _book_one(self, channel):
        method, properties, body = channel.basic_get(QUEUE)
        if method is None:
            return False
        if not self._is_known(properties.message_id):
            self.booked.append(body.decode())
        channel.basic_ack(method.delivery_tag)
        return True

    def _is_known(self, message_id):
        known = message_id in self._ids
        self._ids.add(message_id)
        return known
