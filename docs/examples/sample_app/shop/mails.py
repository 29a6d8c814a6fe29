"""Mails to customers."""

from shop.order import tell

TEXTS = {
    "order.paid": "Thank you! Order {order.number} is on its way.",
    "order.declined": "Your bank declined order {order.number}.",
    "order.review": "Are you content with order {order.number}?",
}

REVIEW_IN_DAYS = 3


class Mails:
    """send: called with the customer and a text; raises TryAgainLater if the mail cannot be sent now."""

    def __init__(self, send):
        self._send = send
        self._sent = set()  # a real shop would use its database

    def __call__(self, channel, what, order):
        if (what, order.number) not in self._sent:
            self._send(order.customer, TEXTS[what].format(order=order))
            self._sent.add((what, order.number))
        if what == "order.paid":
            tell(channel, "order.review", order, in_days=REVIEW_IN_DAYS)
