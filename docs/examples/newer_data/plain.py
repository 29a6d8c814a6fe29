"""A failed message undoes newer data: the usual way with plain queues, which has a wrong result.

The messages of a customer always go to the same queue, which has one active consumer, so they are processed in order.
The order ends at the first failure: the failed message leaves its queue, later messages of the customer are processed,
and the retry of the failed one overwrites them.
"""

import pika
from address_book import MOVES, URL, AddressBook, publish_moves, retry_failed, work

QUEUES = ("addresses.0", "addresses.1")


def queue_of(customer):
    return QUEUES[sum(customer.encode()) % len(QUEUES)]


def main():
    book = AddressBook()
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("addresses.dead", durable=True)
        arguments = {
            "x-single-active-consumer": True,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "addresses.dead",
        }
        for queue in QUEUES:
            channel.queue_declare(queue, durable=True, arguments=arguments)

        publish_moves(channel, queue_of)
        work(connection, QUEUES, book, until=lambda: book.attempts == len(MOVES))
        book.show("Ann", "Eve")

        book.repair_map()
        retry_failed(connection, channel)
        work(connection, QUEUES, book, until=lambda: book.attempts == len(MOVES) + 1)
        book.show("Ann")
        book.compare()

        for queue in (*QUEUES, "addresses.dead"):
            channel.queue_delete(queue)


if __name__ == "__main__":
    main()
