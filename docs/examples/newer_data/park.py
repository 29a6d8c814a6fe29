"""A failed message does not undo newer data: it stays in the queue, and later messages of its customer wait for it."""

import pika
from address_book import MOVES, URL, AddressBook, api, publish_moves, work

GROUPS = "queues/%2F/addresses/groups"


def parked():
    """Return the parked groups: customers with a failed message."""
    return api("GET", f"{GROUPS}?state=parked")


def main():
    book = AddressBook()
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        arguments = {"x-group-header": "customer", "x-group-on-dead": "park"}
        channel.queue_declare("addresses", durable=True, arguments=arguments)

        publish_moves(channel, lambda customer: "addresses")
        work(connection, ("addresses", "addresses"), book, until=lambda: parked() and book.attempts == 3)
        book.show("Ann", "Eve")
        (group,) = parked()
        print(f"the group {group['key']} is parked with {group['messages']} messages")

        book.repair_map()
        redriven = api("POST", f"{GROUPS}/redrive", {"key": group["key"]})
        print(f"the map is repaired, and {redriven['messages']} messages are redriven")
        work(connection, ("addresses", "addresses"), book, until=lambda: book.attempts == len(MOVES) + 1)
        book.show("Ann")
        book.compare()

        channel.queue_delete("addresses")


if __name__ == "__main__":
    main()
