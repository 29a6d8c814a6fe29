"""A publish that is like the one before, up to its body.

Publishers tend to send messages of one size and kind to one place. The bytes of such a publish before its body are then
the same every time, and one comparison tells what taking them apart would.
"""

from mypy_extensions import i64

from amqpbroker.broker.counters.stats import Outlet
from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.octets import read_i64_be


class Repeat:
    """What a publish that begins with `prefix` is known to be.

    prefix: the method frame, the header frame, and the body frame up to its payload; only the header frame if frames of
    other channels came between. total: octets of all three frames.
    content: where the header frame starts. size: octets of the body. epoch: the vhost's route epoch it is good for.
    first, last: the first eight octets of the method frame and its last eight, by which most others are told apart.
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
        outlet: Outlet,
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
