"""One instance of the broker within tests: its server, clock, faults and records. For the thread of its loop only."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace

from amqpbroker.clock import TravelClock
from amqpbroker.config import Config, Listener
from amqpbroker.server.app import Listening, Server
from amqpbroker.server.data import Data
from amqpbroker.server.protocols import AMQP, AMQPS, HTTP, HTTPS, METRICS, METRICS_TLS
from amqpbroker.testing.checks import check_down
from amqpbroker.testing.faults.injector import Injector
from amqpbroker.testing.inspector import Inspector
from amqpbroker.testing.recorder import Recorder
from amqpbroker.testing.retained import carry
from amqpbroker.testing.time_travel import TimeTravel

#: Time in milliseconds for clients to answer when the broker stops. Many tests leave connections open.
STOP_MS = 50


class Instance:
    """A server with a clock that can be moved on, faults and the testing API. embedded: see `Server`.

    before: the ended instance that this one replaces. It takes over the clock, the records and the messages of durable
    queues, whose definitions are in `storage`. restarts: number of replaced instances.
    """

    def __init__(
        self,
        config: Config,
        loop: asyncio.AbstractEventLoop,
        storage: Data,
        settings: Mapping[str, str],
        embedded: bool = False,
        faults: Injector | None = None,
        before: "Instance | None" = None,
    ) -> None:
        self.clock: TravelClock = TravelClock() if before is None else before.clock
        self.clock.clear()
        self.server = Server(config, self.clock, loop, storage, settings, embedded, STOP_MS)
        self.broker = self.server.broker
        self.time_travel = TimeTravel(self.clock, self.server)
        self.recorder: Recorder = Recorder() if before is None else before.recorder
        self.broker.tap(self.recorder)
        self.faults = faults or Injector()
        self.faults.attach(self.server, self.restart)
        self.inspector = Inspector(self.broker, self.recorder, self.faults.report)
        self.restarts: int = 0
        if before is not None:
            self.restarts = before.restarts + 1
            if not self.broker.storage.store.keeps:
                carry(before.broker, self.broker)
            before.server.discard()

    def discard(self) -> None:
        """Release the broker's memory after the end, when no broker replaces it."""
        self.clock.clear()
        self.server.discard()
        self.recorder.discard()
        self.faults.detach()

    def restart(self, down_s: float = 0) -> None:
        """Stop, and let another instance start on the same ports after so many seconds, unless one is to start already.

        Raises ValueError for an invalid time.
        """
        check_down(down_s)
        if not self.server.is_replaced:
            self.server.replace_with(_with_ports(self.broker.config, self.server.listening), down_s)


def _with_ports(config: Config, listening: Iterable[Listening]) -> Config:
    """Return the configuration with the actual ports instead of 0."""
    found: dict[str, list[Listener]] = {}
    for each in listening:
        found.setdefault(each.protocol, []).append(Listener(each.host, each.port))

    def listeners(protocol: str, wanted: tuple[Listener, ...]) -> tuple[Listener, ...]:
        return wanted if all(listener.port for listener in wanted) else tuple(found[protocol])

    def port(protocol: str, wanted: int | None) -> int | None:
        return found[protocol][0].port if wanted == 0 else wanted

    management, prometheus = config.management, config.prometheus
    return replace(
        config,
        listeners=listeners(AMQP, config.listeners),
        tls_listeners=listeners(AMQPS, config.tls_listeners),
        management=management._replace(port=port(HTTP, management.port), tls_port=port(HTTPS, management.tls_port)),
        prometheus=prometheus._replace(
            port=port(METRICS, prometheus.port), tls_port=port(METRICS_TLS, prometheus.tls_port)
        ),
    )
