"""Payments for orders."""

from shop.order import tell


class DeclinedError(Exception):
    """The customer's bank declined, and a retry would not help."""


class Payments:
    """gateway: charge(number, customer, cents), which raises DeclinedError, or TryAgainLater if it cannot be reached.

    The gateway receives the order's number and charges each number only once, so a duplicate of an order is harmless.
    """

    def __init__(self, gateway):
        self._gateway = gateway

    def __call__(self, channel, what, order):
        try:
            self._gateway.charge(order.number, order.customer, order.cents)
        except DeclinedError:
            tell(channel, "order.declined", order)
        else:
            tell(channel, "order.paid", order)
