"""The management API without sockets: requests go to the application, as from this machine."""

import asyncio
from functools import cache

import httpx
from starlette import routing

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.node import Listening, Node
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.management.app import build_app
from amqpbroker.store.store import MemoryStore

GUEST = ("guest", "guest")

# Each test has an application of its own, and all have the same paths: compiling these takes longer than most tests.
routing.compile_path = cache(routing.compile_path)


class StillNode(Node):
    """A node whose facts are what a test says."""

    name = "rabbit@test"
    started_ms = 0
    token = "the-token"
    memory_limit_bytes = 1_000
    disk_free_limit_bytes = 50_000_000
    data_directory = "/data"

    def __init__(self):
        super().__init__()
        self.listeners.append(Listening("amqp", "127.0.0.1", 5672))

    def memory_bytes(self):
        return 600

    def disk_free_bytes(self):
        return 80_000_000

    def files(self):
        return 10, 1024


class Api:
    """A broker in memory with its API. `get` and the others ask as guest unless told otherwise."""

    def __init__(self, config=None, host="127.0.0.1", broker=None, name=StillNode.name, **build):
        self.clock = ManualClock(1_000_000) if broker is None else broker.clock
        self.broker = broker or Broker(config or Config(), self.clock, MemoryStore())
        self.node = StillNode()
        self.node.name = name
        self.app = build_app(self.broker, self.node, **build)
        transport = httpx.ASGITransport(app=self.app, client=(host, 50_000), raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://localhost:15672")

    async def request(self, method, path, auth=GUEST, **kwargs):
        headers = kwargs.pop("headers", {})
        url = path if path.startswith("/") else f"/api/{path}"
        return await self.client.request(method, url, auth=auth, headers=headers, **kwargs)

    async def get(self, path, **kwargs):
        return await self.request("GET", path, **kwargs)

    async def put(self, path, json=None, **kwargs):
        return await self.request("PUT", path, json=json, **kwargs)

    async def post(self, path, json=None, **kwargs):
        return await self.request("POST", path, json=json, **kwargs)

    async def delete(self, path, **kwargs):
        return await self.request("DELETE", path, **kwargs)

    def user(self, name, password="p", tags=("management",), vhosts=()):
        """A further user, with all permissions in these vhosts."""
        self.broker.users.add_user(name, password, tags)
        for vhost in vhosts:
            self.broker.users.set_permissions(name, vhost, ".*", ".*", ".*")
        return name, password


class Ticking:
    """Runs the timers of a broker once in each event loop iteration, like a server, until `stop`.

    seen: called after the timers of each iteration.
    """

    def __init__(self, api, seen=lambda: None):
        self._clock, self._seen, self._task = api.clock, seen, asyncio.create_task(self._run())

    async def _run(self):
        while True:
            await asyncio.sleep(0)
            self._clock.fire_due()
            self._seen()

    def stop(self):
        self._task.cancel()
