"""An address book, its workers, and a client of the HTTP API. The programs of this folder share them.

Ann moves to Oak Street, and then to Elm Street. The worker cannot store Oak Street, because its map does not know the
street yet. When the map is repaired, the failed message is retried.
"""

import json
import os
import threading
import urllib.request
from base64 import b64encode

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
MANAGEMENT_URL = os.environ.get("MANAGEMENT_URL", "http://localhost:15672")

#: All moves, in their order.
MOVES = (("Ann", "Oak Street"), ("Eve", "Park Lane"), ("Ann", "Elm Street"), ("Eve", "Mill Road"))
CUSTOMERS = ("Ann", "Eve")
POLL_S = 0.02


class AddressBook:
    """The addresses of the customers. A real one is in a database."""

    def __init__(self):
        self.addresses = {}
        self.history = {customer: [] for customer in CUSTOMERS}
        self.unknown = {"Oak Street"}

    @property
    def attempts(self):
        return sum(len(attempts) for attempts in self.history.values())

    def store(self, customer, address):
        """Store a new address. Raises LookupError if the map does not know it."""
        if address in self.unknown:
            self.history[customer].append(f"{address} failed")
            raise LookupError(address)
        self.addresses[customer] = address
        self.history[customer].append(f"{address} stored")

    def repair_map(self):
        self.unknown.clear()

    def show(self, *customers):
        for customer in customers:
            print(f"{customer}: {', '.join(self.history[customer])}")

    def compare(self):
        print(f"Ann lives in {dict(MOVES)['Ann']}. The address book has: {self.addresses['Ann']}")


def publish_moves(channel, queue_of):
    """Publish all moves. queue_of(customer): returns the queue for the messages of a customer."""
    for version, (customer, address) in enumerate(MOVES):
        headers = {"customer": customer, "version": version}
        properties = pika.BasicProperties(delivery_mode=2, headers=headers)
        channel.basic_publish("", queue_of(customer), address.encode(), properties, mandatory=True)


def work(connection, queues, book, until):
    """Run a worker for each of these queues, which may be the same, until the function `until` returns True."""
    stop = threading.Event()
    workers = [threading.Thread(target=run_worker, args=(queue, book, stop)) for queue in queues]
    for worker in workers:
        worker.start()
    while not until():
        connection.sleep(POLL_S)
    stop.set()
    for worker in workers:
        worker.join()


def run_worker(queue, book, stop):
    """Store addresses. A message that fails is rejected; a real worker retries it a few times before that."""

    def handle(channel, method, properties, body):
        try:
            book.store(properties.headers["customer"], body.decode())
        except LookupError:
            channel.basic_reject(method.delivery_tag, requeue=False)
        else:
            channel.basic_ack(method.delivery_tag)

    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(queue, handle)
        while not stop.is_set():
            connection.process_data_events(time_limit=POLL_S)


def receive(connection, channel, queue):
    """Return the next message of a queue, and wait until there is one."""
    while True:
        method, properties, body = channel.basic_get(queue)
        if method is not None:
            return method, properties, body
        connection.sleep(POLL_S)


def retry_failed(connection, channel):
    """Publish the dead letter again to the queue in which it died. Acknowledges it after its publish is confirmed."""
    method, properties, body = receive(connection, channel, "addresses.dead")
    queue = properties.headers.pop("x-death")[0]["queue"]
    again = pika.BasicProperties(delivery_mode=2, headers=properties.headers)
    channel.basic_publish("", queue, body, again, mandatory=True)
    channel.basic_ack(method.delivery_tag)
    print(f"the map is repaired, and the dead letter is published again: {body.decode()}")


def is_ready(channel, queue, count):
    """Return whether a queue has that many ready messages."""
    return channel.queue_declare(queue, passive=True).method.message_count == count


def api(method, path, body=None):
    """Send a request to the HTTP API, and return the JSON body of its response."""
    headers = {"Authorization": f"Basic {b64encode(b'guest:guest').decode()}"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{MANAGEMENT_URL}/api/{path}", headers=headers, method=method, data=data)
    with urllib.request.urlopen(request) as response:
        return json.load(response)
