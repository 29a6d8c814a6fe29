"""A failed message does not undo newer data: later messages of its customer follow it to the dead letter queue.

The redrive of the group moves all of them back in one step, in their order and before all messages of the queue.
"""

import pika
from address_book import MOVES, URL, AddressBook, api, is_ready, publish_moves, work

GROUPS = "queues/%2F/addresses/groups"


def main():
    book = AddressBook()
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("addresses.dead", durable=True)
        arguments = {
            "x-group-header": "customer",
            "x-group-on-dead": "follow",
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "addresses.dead",
        }
        channel.queue_declare("addresses", durable=True, arguments=arguments)

        publish_moves(channel, lambda customer: "addresses")
        both = ("addresses", "addresses")
        work(connection, both, book, until=lambda: is_ready(channel, "addresses.dead", 2) and book.attempts == 3)
        book.show("Ann", "Eve")
        (group,) = api("GET", f"{GROUPS}?state=closed")
        print(f"the group {group['key']} is closed, and its 2 messages are in the dead letter queue")

        book.repair_map()
        redriven = api("POST", f"{GROUPS}/redrive", {"key": group["key"]})
        print(f"the map is repaired, and {redriven['messages']} messages are redriven")
        work(connection, both, book, until=lambda: book.attempts == len(MOVES) + 1)
        book.show("Ann")
        book.compare()

        for queue in ("addresses", "addresses.dead"):
            channel.queue_delete(queue)


if __name__ == "__main__":
    main()
