"""Has orders paid for."""

from shop.order import tell


class DeclinedError(Exception):
    """The customer's bank says no, and would say so again."""


class Payments:
    """gateway: charge(number, customer, cents), which raises DeclinedError, or TryAgainLater if it cannot be reached.

    The gateway is told the order's number. It charges for a number once, however often it is asked: that makes it
    harmless that an order can come twice.
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
