"""Plan of a run, as its processes receive it."""

from dataclasses import dataclass, field

from amqpbroker.cli.perf.client import Access
from amqpbroker.cli.perf.schedule import Pace, Step
from amqpbroker.cli.perf.template import Kind
from amqpbroker.cli.perf.topology import Declaration
from amqpbroker.wire.values import Table


@dataclass(frozen=True)
class Publishing:
    """Work of the publishers. kinds: their kinds of messages, used in rotation. None is no limit."""

    producers: int
    kinds: tuple[Kind, ...]
    limit: int | None = None
    pace: Pace | None = None
    #: Largest number of outstanding confirms; None: no confirms.
    window: int | None = None
    #: Channels of each connection; each channel is a publisher.
    channels: int = 1
    #: Sizes instead of that of the kind; empty: none.
    sizes: tuple[Step, ...] = ()
    #: Longest random delay of the start of each channel, in seconds.
    start_delay_s: float = 0.0


@dataclass(frozen=True)
class Consuming:
    """Work of the consumers. queues: their queues, used in rotation. None is no limit."""

    queues: tuple[str, ...]
    auto_ack: bool = False
    #: Prefetch; 0 is no limit.
    prefetch: int = 0
    #: Number of messages for one acknowledgement; 0: one for each.
    ack_every: int = 0
    limit: int | None = None
    rate: float | None = None
    arguments: Table = field(default_factory=dict)
    mark: bytes = b""
    #: Channels of each connection; each channel is a consumer.
    channels: int = 1
    #: Declaration of the queues by the connections that consume from them; None: they exist.
    declaration: Declaration | None = None


@dataclass(frozen=True)
class Plan:
    """A whole run. seconds: None is until all is done, or the run is stopped."""

    access: Access
    seconds: float | None
