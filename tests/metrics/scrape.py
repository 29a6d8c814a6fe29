"""The metrics without sockets: requests are passed to the application."""

from dataclasses import replace

import httpx
from prometheus_client.parser import text_string_to_metric_families

from amqpbroker.broker.broker import Broker
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config, Prometheus
from amqpbroker.metrics.app import build_app
from amqpbroker.store.store import MemoryStore
from tests.harness import Wire
from tests.management.api import StillNode


class Scraper:
    """A broker in memory with its metrics."""

    def __init__(self, config=Config(), **prometheus):  # noqa: B008 - it is immutable
        self.clock = ManualClock(1_000_000)
        self.broker = Broker(replace(config, prometheus=Prometheus(**prometheus)), self.clock, MemoryStore())
        self.node = StillNode()
        self.app = build_app(self.broker, self.node)
        transport = httpx.ASGITransport(app=self.app)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://localhost:15692")

    def wire(self, vhost="/"):
        """Return a client that is logged in, with channel 1."""
        return Wire(self.broker).log_in(vhost=vhost)

    async def get(self, path="/metrics", method="GET", **headers):
        return await self.client.request(method, path, headers=headers)

    async def samples(self, path="/metrics"):
        """Return (name, labels sorted by name) -> value."""
        answer = await self.get(path)
        assert answer.status_code == 200, answer
        return {
            (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }

    async def families(self, path="/metrics"):
        """Return the names of the families, with or without samples."""
        text = (await self.get(path)).text
        return [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
