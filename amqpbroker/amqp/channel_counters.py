"""Counters of one channel: publishes by exchange, returns, basic.get and redeliveries."""

from typing import final

from amqpbroker.broker.counters.stats import ExchangeCounters
from amqpbroker.broker.exchanges.exchange import Exchange


@final
class ChannelCounters:
    """Counters that the other parts of the channel do not keep already.

    returned, discarded: unroutable messages. got, got_no_ack, got_empty: results of basic.get. got_acked: acknowledged
    messages of basic.get. not_acked: deliveries to consumers that were settled in another way than by an
    acknowledgement. redelivered: redeliveries of both kinds. browsed: copies of messages that stay in their queue.
    """

    __slots__ = (
        "_outlets",
        "_published",
        "browsed",
        "discarded",
        "got",
        "got_acked",
        "got_empty",
        "got_no_ack",
        "not_acked",
        "redelivered",
        "returned",
    )

    def __init__(self) -> None:
        self.returned: int = 0
        self.discarded: int = 0
        self.got: int = 0
        self.got_no_ack: int = 0
        self.got_empty: int = 0
        self.got_acked: int = 0
        self.not_acked: int = 0
        self.redelivered: int = 0
        self.browsed: int = 0
        self._outlets: dict[Exchange, ExchangeCounters] = {}
        self._published: int = 0

    def count_returned(self) -> None:
        """Count an unroutable message that is returned to the client."""
        self.returned += 1

    def count_discarded(self) -> None:
        """Count an unroutable message that is discarded."""
        self.discarded += 1

    def count_got(self, no_ack: bool) -> None:
        """Count a message delivered by basic.get."""
        if no_ack:
            self.got_no_ack += 1
        else:
            self.got += 1

    def count_got_empty(self) -> None:
        """Count a basic.get without a message."""
        self.got_empty += 1

    def count_got_acked(self, count: int) -> None:
        """Count acknowledged messages of basic.get."""
        self.got_acked += count

    def count_not_acked(self, count: int) -> None:
        """Count deliveries that were settled in another way than by an acknowledgement."""
        self.not_acked += count

    def count_redelivered(self) -> None:
        """Count a message that is delivered once more."""
        self.redelivered += 1

    def count_browsed(self) -> None:
        """Count a copy of a message that stays in its queue, which is no delivery."""
        self.browsed += 1

    def outlet(self, exchange: Exchange) -> ExchangeCounters:
        """Return the publish counter for the exchange, valid until `close_outlets`."""
        outlet = self._outlets.get(exchange)
        if outlet is None:
            outlet = self._outlets[exchange] = ExchangeCounters()
            exchange.outlets[outlet] = None
        return outlet

    def close_outlets(self) -> None:
        """Add up the publishes of all exchanges, since exchanges can be deleted and created again."""
        for exchange, outlet in self._outlets.items():
            exchange.add_up(outlet)
            self._published += outlet.single + outlet.other
        self._outlets.clear()

    def published(self) -> int:
        return self._published + sum([outlet.single + outlet.other for outlet in self._outlets.values()])
