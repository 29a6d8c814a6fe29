"""Replaces the modules with which the product waits and connects, while worlds run."""

import json
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from amqpbroker.cluster import partition_monitor, shared_database, vhost_following, vhost_recovery, vhost_serving
from amqpbroker.cluster.following import vhost_followers
from amqpbroker.cluster.leadership import leaderships, members, reporting, sessions
from amqpbroker.cluster.leadership.leadership import Leader, Target
from amqpbroker.cluster.peers import http_peers as peers
from amqpbroker.cluster.requests.peers import NotSentError, Peer, PeerAnswer, PeerRequest
from amqpbroker.config import Config
from amqpbroker.management.routes.maintenance import leader_rows
from amqpbroker.store import committer
from amqpbroker.store.database import fence, session
from amqpbroker.store.journal import journal
from tests.simulation.database import threading_module
from tests.simulation.database.broker import BrokerProcess
from tests.simulation.database.connection import Connection
from tests.simulation.database.tasks import current


def _process() -> BrokerProcess:
    process = current().process
    assert isinstance(process, BrokerProcess)
    return process


def _connect(url: str, *, application_name: str, **_: Any) -> Connection:
    return _process().connect(application_name)


class Listeners:
    """The listeners of a broker, without sockets."""

    def __init__(self, config: Config) -> None:
        self.address = f"{config.cluster_name}:5672"
        self.target = Target(config.cluster_name, 1, "secret")


class Directory:
    """The directory of a broker on its machine."""

    directory = Path("/local")

    def __init__(self, *_: Any) -> None:
        pass

    def close(self) -> None:
        pass


class Leaderships(leaderships.Leaderships):
    """Reports each takeover."""

    def try_take(self, log: str) -> bool:
        owner = _process().owner
        taken = super().try_take(log)
        if taken:
            owner.checks.took(owner, log, self.held[log])
        return taken


class EndedLeaders:
    """Finds leaders whose processes have ended, without connections."""

    def has_ended(self, leader: Leader) -> bool:
        owner = _process().owner
        return not owner.path.is_cut and owner.checks.has_ended(leader.process)


class Peers(peers.HttpPeers):
    """Requests for the leaders that other brokers know, without connections. A broker that hangs is not reached."""

    async def request(self, peer: Peer, request: PeerRequest, limit_s: float) -> PeerAnswer:
        owner = _process().owner
        cluster = owner.checks.cluster_of(peer.process)
        if cluster is None:
            raise NotSentError("it does not run, or hangs")
        return PeerAnswer(200, [], _parts(json.dumps(leader_rows(cluster)).encode()))


async def _parts(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


class Log:
    """The log of the modules that serve vhosts: their errors are checked."""

    def debug(self, *_: Any, **__: Any) -> None:
        pass

    info = warning = debug

    def error(self, text: str, *values: Any, **__: Any) -> None:
        owner = _process().owner
        owner.checks.complained(owner, text % values)

    critical = error

    def exception(self, text: str, *values: Any) -> None:
        owner = _process().owner
        owner.checks.complained(owner, f"internal error: {text % values}")


@contextmanager
def simulated() -> Iterator[None]:
    """Run the product on simulated threads, time and connections meanwhile."""
    time = SimpleNamespace(sleep=threading_module.sleep, monotonic=threading_module.monotonic)
    log = Log()
    with ExitStack() as patches:
        for module, name, value in (
            (committer, "threading", threading_module),
            (committer, "queue", threading_module),
            (committer, "ThreadPoolExecutor", threading_module.ThreadPoolExecutor),
            (leaderships, "time", time),
            (leaderships.Leaderships.__init__, "__defaults__", (threading_module.monotonic, leaderships.never)),
            (fence, "threading", threading_module),
            (journal, "threading", threading_module),
            (members, "threading", threading_module),
            (reporting, "threading", threading_module),
            (session, "threading", threading_module),
            (session, "time", time),
            (sessions, "threading", threading_module),
            (session, "TimedConnection", SimpleNamespace(connect=_connect)),
            # libpq reads the URL each time.
            (session, "described", cache(session.described)),
            (session.Session, "_options", lambda _: {}),
            (partition_monitor, "log", log),
            (shared_database, "DatabaseListeners", Listeners),
            (shared_database, "EndedLeaders", EndedLeaders),
            (shared_database, "HttpPeers", Peers),
            (shared_database, "Leaderships", Leaderships),
            (shared_database, "Ownership", Directory),
            (shared_database, "SpillFiles", Directory),
            (shared_database, "log", log),
            (shared_database, "threading", threading_module),
            (shared_database, "time", time),
            (vhost_followers.VhostFollowers.__init__, "__defaults__", (threading_module.monotonic,)),
            (vhost_following, "threading", threading_module),
            (vhost_following, "log", log),
            (vhost_recovery, "log", log),
            (vhost_serving, "ThreadPoolExecutor", threading_module.ThreadPoolExecutor),
            (vhost_serving, "log", log),
        ):
            patches.enter_context(patch.object(module, name, value))
        before = logging.root.manager.disable
        patches.callback(logging.disable, before)
        # Formatting the product's warnings would take more time than anything else.
        logging.disable(logging.CRITICAL)
        yield
