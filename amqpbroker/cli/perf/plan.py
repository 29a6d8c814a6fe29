"""Plan of a run, as its processes are given it."""

from dataclasses import dataclass, field

from amqpbroker.cli.perf.client import Access
from amqpbroker.cli.perf.schedule import Pace, Step
from amqpbroker.cli.perf.template import Kind
from amqpbroker.cli.perf.topology import Declaration
from amqpbroker.wire.values import Table


@dataclass(frozen=True)
class Publishing:
    """What each of so many publishers does. kinds: what they publish, by turns. None is no limit."""

    producers: int
    kinds: tuple[Kind, ...]
    limit: int | None = None
    pace: Pace | None = None
    #: How many may wait for their confirm; None: no confirms.
    window: int | None = None
    #: Of each connection; each channel is a publisher of its own.
    channels: int = 1
    #: Sizes in place of that of the kind; empty: there are none.
    sizes: tuple[Step, ...] = ()
    #: Each channel begins after a time by chance, at most this.
    start_delay_s: float = 0.0


@dataclass(frozen=True)
class Consuming:
    """What each consumer does. queues: what they consume, by turns. None is no limit."""

    queues: tuple[str, ...]
    auto_ack: bool = False
    #: 0 is no limit.
    prefetch: int = 0
    #: One acknowledgement for so many; 0: one for each.
    ack_every: int = 0
    limit: int | None = None
    rate: float | None = None
    arguments: Table = field(default_factory=dict)
    mark: bytes = b""
    #: Of each connection; each channel is a consumer of its own.
    channels: int = 1
    #: How the queues are declared by the connections that consume from them; None: they are there.
    declaration: Declaration | None = None


@dataclass(frozen=True)
class Plan:
    """seconds: None is until all is done, or somebody says stop."""

    access: Access
    seconds: float | None
