"""Brokers that share vhosts, each with its API, in one process."""

import httpx

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.following import FOLLOWED, follow
from amqpbroker.broker.storage import Storage
from amqpbroker.clock import ManualClock
from amqpbroker.cluster.requests.peers import NotSentError, Peer, PeerAnswer, Peers
from amqpbroker.cluster.requests.sharing import Sharing
from amqpbroker.config import Config
from amqpbroker.management.peer_requests import FROM_PEER
from amqpbroker.store.definitions.definitions import KEYS, MemoryDefinitions
from amqpbroker.store.definitions.followed_definitions import FollowedDefinitions
from amqpbroker.store.recovered import Recovered
from amqpbroker.store.store import MemoryStore
from tests.fault_definitions import FaultyDefinitions
from tests.management.api import Api

#: A fault of a broker.
REFUSED = NotSentError("refused")
LOST = TimeoutError("lost")


class DirectPeers(Peers):
    """Peers within the process. requests: those that this broker has sent, with the name of the peer.

    catches: how often it has caught up with the writer. catch_up_fault: raised instead.
    """

    def __init__(self, brokers, name):
        self.here = Peer(name, f"process of {name}")
        self.requests = []
        self.catches = 0
        self.catch_up_fault = None
        self._brokers = brokers

    def _peer(self, name):
        return None if name is None else self._brokers.apis[name].peers.here

    def serving(self, vhost):
        return self._peer(self._brokers.serving.get(vhost))

    def writer(self):
        return self._peer(self._brokers.writer)

    def others(self):
        return [self._peer(name) for name in self._brokers.apis if name != self.here.name]

    async def request(self, peer, request, limit_s):
        self.requests.append((peer.name, request))
        fault = self._brokers.faults.get(peer.name)
        if fault is not None:
            raise fault
        app = self._brokers.apis[peer.name].app

        async def marked(scope, receive, send):
            await app({**scope, "state": {FROM_PEER: True}}, receive, send)

        transport = httpx.ASGITransport(app=marked, client=request.client, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://peer") as client:
            url = f"http://peer{request.target}"
            answer = await client.request(request.method, url, headers=list(request.headers), content=request.body)
        return PeerAnswer(answer.status_code, list(answer.headers.items()), _parts(answer.content))

    async def catch_up(self):
        self.catches += 1
        if self.catch_up_fault is not None:
            raise self.catch_up_fault
        self._brokers.follow()


async def _parts(content):
    yield content


def _key(definition):
    return type(definition), definition[: KEYS[type(definition)]]


class Brokers:
    """Brokers by name. The first one writes definitions. serving: name of the broker that serves a vhost.

    faults: errors of requests to a broker, by its name.
    """

    def __init__(self, *names, **settings):
        self.stored = FaultyDefinitions()
        # A blank broker makes the default vhost and user.
        Broker(Config(**settings), ManualClock(), MemoryStore(), self.stored)
        self.faults = {}
        self.serving = {}
        self.writer = names[0]
        self.apis = {}
        self._seen = self._state()
        for name in names:
            definitions = FollowedDefinitions({kind: list(self.stored.all(kind)) for kind in FOLLOWED})
            clock = ManualClock(1_000_000)
            broker = Broker(Config(**settings), clock, MemoryStore(), definitions, shares_vhosts=True)
            peers = DirectPeers(self, name)
            self.apis[name] = Api(broker=broker, name=name, shared=Sharing(peers))
            self.apis[name].peers = peers
        self.apis[names[0]].broker.definitions.write_to(self.stored)

    def __getitem__(self, name):
        return self.apis[name]

    def _state(self):
        return [definition for kind in FOLLOWED for definition in self.stored.all(kind)]

    def follow(self):
        """Make all brokers know what the writer has stored."""
        before, self._seen = self._seen, self._state()
        put = [each for each in self._seen if each not in before]
        keys = {_key(each) for each in self._seen}
        removed = [each for each in before if _key(each) not in keys]
        for name, api in self.apis.items():
            if name != self.writer:
                with api.broker.definitions.following():
                    follow(api.broker, put, removed)

    def add(self, vhost, name=None):
        """Add a vhost for the default user, which a broker serves."""
        writer = self.apis[self.writer].broker
        if vhost not in writer.defined_vhosts:
            writer.add_vhost(vhost, maker="guest")
            self.follow()
        if name is not None:
            self.serve(vhost, name)

    def serve(self, vhost, name):
        broker = self.apis[name].broker
        broker.open_vhost(broker.defined_vhosts[vhost], Storage(MemoryStore(), MemoryDefinitions(), True), Recovered())
        self.serving[vhost] = name

    def sent(self, name):
        """Return the requests that a broker has sent to others: their names, methods and targets."""
        return [(peer, request.method, request.target) for peer, request in self.apis[name].peers.requests]
