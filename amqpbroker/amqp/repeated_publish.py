"""A publish that equals the previous one up to its body.

Publishers tend to send messages of the same size and kind to the same destination. The bytes of such a publish before
its body are then the same every time, and one comparison replaces parsing them.
"""

from mypy_extensions import i64

from amqpbroker.broker.counters.stats import ExchangeCounters
from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.octets import read_i64_be


class Repeat:
    """Parsed description of all publishes that begin with `prefix`.

    prefix: the method frame, the header frame, and the body frame up to its payload; only the header frame if frames of
    other channels arrived in between. total: bytes of all three frames. content: start of the header frame. size: bytes
    of the body. epoch: the vhost's route epoch for which it is valid. first, last: the first and the last eight bytes
    of the method frame, which differ in most other publishes.
    """

    __slots__ = (
        "address",
        "content",
        "destination",
        "epoch",
        "first",
        "known",
        "last",
        "outlet",
        "prefix",
        "size",
        "total",
    )

    def __init__(
        self,
        prefix: bytes,
        total: int,
        content: int,
        size: int,
        address: bytes,
        known: int,
        destination: Destination,
        outlet: ExchangeCounters,
        epoch: int,
    ) -> None:
        self.prefix = prefix
        self.first: i64 = read_i64_be(prefix, 0)
        self.last: i64 = read_i64_be(prefix, content - 8)
        self.total: i64 = total
        self.content: i64 = content
        self.size = size
        self.address = address
        self.known = known
        self.destination = destination
        self.outlet = outlet
        self.epoch: int = epoch
