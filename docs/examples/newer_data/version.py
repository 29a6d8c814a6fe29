"""A failed message does not undo newer data: the queue recognises that it is older, and does not deliver it.

Each message has a version, and the whole address of its customer. So later messages need not wait for a failed one.
The retry is the one of plain.py.
"""

import pika
from address_book import MOVES, URL, AddressBook, is_ready, publish_moves, receive, retry_failed, work


def main():
    book = AddressBook()
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("addresses.dead", durable=True)
        arguments = {
            "x-group-header": "customer",
            "x-group-version-header": "version",
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "addresses.dead",
        }
        channel.queue_declare("addresses", durable=True, arguments=arguments)

        publish_moves(channel, lambda customer: "addresses")
        both = ("addresses", "addresses")
        work(connection, both, book, until=lambda: book.attempts == len(MOVES))
        book.show("Ann", "Eve")

        book.repair_map()
        retry_failed(connection, channel)
        work(connection, both, book, until=lambda: is_ready(channel, "addresses.dead", 1))
        method, properties, body = receive(connection, channel, "addresses.dead")
        reason = properties.headers["x-death"][0]["reason"]
        print(f"the dead letter queue has it again: {body.decode()} ({reason})")
        channel.basic_ack(method.delivery_tag)
        book.show("Ann")
        book.compare()

        for queue in ("addresses", "addresses.dead"):
            channel.queue_delete(queue)


if __name__ == "__main__":
    main()
