"""Base of all workers of the shop: connecting, acknowledging, retrying, giving up."""

import logging
import threading

import pika

from shop import topology
from shop.order import Order

log = logging.getLogger(__name__)

RECONNECT_S = 1.0


class TryAgainLater(Exception):  # noqa: N818 - not an error of the program
    """A temporary failure: a host that is down, a mailbox that is full."""


class Worker:
    """Processes the messages of a queue, one at a time, until it is stopped.

    work: called with a channel, the routing key and an Order. If it raises TryAgainLater, the message is retried after
    each of the pauses and then moved to the queue of failed messages; after any other exception, it is moved at once.
    """

    def __init__(self, url, queue, work):
        self._url = url
        self._queue = queue
        self._work = work
        self._stopping = threading.Event()
        self._channel = None

    def run(self):
        """Work until `stop` is called from another thread. Reconnects when the connection is lost."""
        while not self._stopping.is_set():
            try:
                self._consume()
            except pika.exceptions.AMQPError as error:
                log.warning("%s: connecting again after %r", self._queue, error)
                self._stopping.wait(RECONNECT_S)

    def stop(self):
        self._stopping.set()
        channel = self._channel
        if channel is not None and channel.connection.is_open:
            channel.connection.add_callback_threadsafe(channel.stop_consuming)

    def _consume(self):
        parameters = pika.URLParameters(self._url)
        parameters.client_properties = {"connection_name": self._queue}
        with pika.BlockingConnection(parameters) as connection:
            channel = connection.channel()
            topology.declare(channel)
            channel.confirm_delivery()
            channel.basic_qos(prefetch_count=1)
            channel.basic_consume(self._queue, self._on_message)
            self._channel = channel
            if not self._stopping.is_set():
                channel.start_consuming()

    def _on_message(self, channel, method, properties, body):
        """Acknowledge a message after all messages that result from it are confirmed.

        If this process crashes in between, some of the work is done twice, but none is lost.
        """
        self._handle(channel, method, properties, body)
        channel.basic_ack(method.delivery_tag)

    def _handle(self, channel, method, properties, body):
        headers = properties.headers or {}
        what, attempt = headers.get("what", method.routing_key), headers.get("attempt", 1)
        try:
            self._work(channel, what, Order.from_bytes(body))
        except pika.exceptions.AMQPConnectionError:
            raise
        except TryAgainLater as error:
            log.info("%s: attempt %d at %s: %s", self._queue, attempt, body, error)
            next_queue = topology.waiting(self._queue, attempt) or topology.failed(self._queue)
            self._put(channel, next_queue, what, attempt + 1, body, error)
        except Exception as error:
            log.exception("%s: %s", self._queue, body)
            self._put(channel, topology.failed(self._queue), what, attempt, body, error)

    def _put(self, channel, queue, what, attempt, body, error):
        headers = {"what": what, "attempt": attempt, "error": str(error)}
        properties = pika.BasicProperties(delivery_mode=2, headers=headers)
        channel.basic_publish("", queue, body, properties, mandatory=True)
