"""Two brokers in this process, of which one relays the connections of a vhost that the other one leads."""

import asyncio
import contextlib
import socket
import threading
import time
from dataclasses import replace

import pika

from amqpbroker.clock import SystemClock
from amqpbroker.cluster.database_listeners import DatabaseListeners
from amqpbroker.cluster.relaying.relaying import Relaying
from amqpbroker.config import Config, Listener, Management, Prometheus
from amqpbroker.server.app import Server
from amqpbroker.server.data import Data
from amqpbroker.store.definitions.definitions import MemoryDefinitions
from tests.harness import lead_elsewhere

HERE = Listener("127.0.0.1", 0)
WITHOUT_HTTP = Config(
    listeners=(HERE,), in_memory=True, management=Management(port=None), prometheus=Prometheus(port=None)
)
#: Time within which anything that is waited for happens.
PATIENCE_S = 20


def until(reached):
    """Wait until the function returns something, and return that."""
    end = time.monotonic() + PATIENCE_S
    while not (found := reached()):
        assert time.monotonic() < end, "this never happens"
        time.sleep(0.01)
    return found


class TwoBrokers:
    """Broker A relays connections to vhost x, which broker B leads. Use it in a `with`.

    targets: the leaders that A knows, by vhost.
    """

    def __init__(self, make_loop, tls=None, **settings):
        """tls: options for TLS of A. settings: of both brokers."""
        self._make_loop = make_loop
        self._secured = {} if tls is None else {"tls": tls, "tls_listeners": (HERE,)}
        self._settings = settings
        self.targets = {}
        self.ports = {}

    def __enter__(self):
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,))
        self._thread.start()
        assert ready.wait(PATIENCE_S)
        return self

    def __exit__(self, *_):
        self.call(lambda: [server.stop() for server in (self.a, self.b) if not server.ends])
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        assert self.left == set(), "a task is left"

    def _run(self, ready):
        with asyncio.Runner(loop_factory=self._make_loop) as runner:
            runner.run(self._serve(ready))

    async def _serve(self, ready):
        self.loop = asyncio.get_running_loop()
        leads = replace(WITHOUT_HTTP, **self._settings)
        relays = replace(leads, **self._secured)
        self.a, self.b = [
            Server(config, SystemClock(), self.loop, Data(MemoryDefinitions()), {}, embedded=True, stop_ms=200)
            for config in (relays, leads)
        ]
        listeners = DatabaseListeners(leads)
        self.targets["x"] = listeners.target
        lead_elsewhere(self.a.broker, "x")
        self.relaying = Relaying(
            self.loop,
            lambda vhost: self.targets.get(vhost),
            lambda vhost: vhost in self.a.broker.vhosts,
            self.a.clients.is_full,
            "a",
        )
        self.a.clients.relaying = self.relaying
        self.b.clients.relaying = Relaying(
            self.loop, lambda _: None, lambda vhost: vhost in self.b.broker.vhosts, self.b.clients.is_full, "b"
        )
        self.b.broker.add_vhost("x")
        self.b.broker.users.set_permissions("guest", "x", ".*", ".*", ".*")
        for server in (self.a, self.b):
            server.broker.users.add_user("ann", "secret", ())
        coming = asyncio.Semaphore(0)

        def listening(name, found):
            self.ports[name] = {protocol: port for protocol, _, port in found}
            coming.release()

        serving = [
            asyncio.create_task(self.a.serve(lambda found: listening("a", found))),
            asyncio.create_task(self.b.serve(lambda found: listening("b", found), listeners)),
        ]
        for _ in serving:
            await coming.acquire()
        ready.set()
        await asyncio.gather(*serving)
        for server in (self.a, self.b):
            server.discard()
        self.left = asyncio.all_tasks() - {asyncio.current_task()}

    def call(self, function, *arguments):
        """Call a function on the thread of the brokers, and return its result."""

        async def called():
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(called(), self.loop).result(PATIENCE_S)

    # --- clients ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def connect(self, vhost="x", user="guest", password="guest", tls=None, **options):
        """Connect with pika to A. tls: its context."""
        secured = {} if tls is None else {"ssl_options": pika.SSLOptions(tls, "localhost")}
        options.setdefault("credentials", pika.PlainCredentials(user, password))
        port = self.ports["a"]["amqp" if tls is None else "amqp/ssl"]
        parameters = pika.ConnectionParameters("127.0.0.1", port, vhost, **secured, **options)
        connection = pika.BlockingConnection(parameters)
        try:
            yield connection
        finally:
            with contextlib.suppress(pika.exceptions.AMQPError):
                connection.close()

    def raw(self):
        """Return a socket that is connected to A."""
        return socket.create_connection(("127.0.0.1", self.ports["a"]["amqp"]), PATIENCE_S)

    # --- state --------------------------------------------------------------------------------------------------------

    def served_by_b(self):
        """Return the descriptions of the connections that B serves."""
        return self.call(lambda: [session.info() for session in self.b.broker.sessions])

    def relays(self):
        return self.call(lambda: list(self.relaying._relays))

    def await_idle(self):
        """Wait until nothing is left of any connection."""
        until(lambda: self.call(lambda: self.relaying.files + len(self.a.clients.there())) == 0)
        until(lambda: self.call(lambda: len(self.b.clients.there())) == 0)


class FakeLeader:
    """A port whose connections a function serves, each on a thread. Use it in a `with`.

    served: number of connections. received: what they have sent, once a connection has ended.
    """

    def __init__(self, serve):
        self._serve = serve
        self.served = 0
        self._threads = []

    def __enter__(self):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._threads.append(threading.Thread(target=self._accept))
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        self._socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
        self._socket.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            self.served += 1
            self._threads.append(threading.Thread(target=self._run, args=(client,)))
            self._threads[-1].start()

    def _run(self, client):
        with client, contextlib.suppress(OSError):
            client.settimeout(PATIENCE_S)
            self._serve(client)
