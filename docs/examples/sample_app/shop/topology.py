"""The exchanges and queues of the shop, in one place. Every program declares them, so the start order is free.

Events are published to the topic exchange `shop`. Each queue has the name of its worker; beside it there is a queue for
each pause between two attempts, and a queue for messages that failed for good:

    shop --order.placed--> payments    payments.wait.1, payments.wait.2, ...    payments.failed
    shop --order.paid, order.declined, order.review--> mails    mails.wait.1, ...    mails.failed
"""

SHOP = "shop"

#: Exchange for delayed events.
LATER = "shop.later"

#: Pauses before each retry, in seconds.
PAUSES_S = (60, 10 * 60, 60 * 60)

QUEUES = {
    "payments": ("order.placed",),
    "mails": ("order.paid", "order.declined", "order.review"),
}


def waiting(queue, attempt):
    """Return the queue in which a message waits after this attempt failed; None after the last attempt."""
    return f"{queue}.wait.{attempt}" if attempt <= len(PAUSES_S) else None


def failed(queue):
    return f"{queue}.failed"


def declare(channel):
    channel.exchange_declare(SHOP, "topic", durable=True)
    channel.exchange_declare(LATER, "x-delayed-message", durable=True, arguments={"x-delayed-type": "fanout"})
    channel.exchange_bind(SHOP, LATER)
    for queue, keys in QUEUES.items():
        channel.queue_declare(queue, durable=True)
        channel.queue_declare(failed(queue), durable=True)
        for attempt, pause_s in enumerate(PAUSES_S, 1):
            back = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue}
            channel.queue_declare(
                waiting(queue, attempt), durable=True, arguments={"x-message-ttl": pause_s * 1000, **back}
            )
        for key in keys:
            channel.queue_bind(queue, SHOP, key)
