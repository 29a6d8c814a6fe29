"""Interface to `cluster`: the part of a running broker in serving vhosts that brokers with one database share.

With a data directory, or in memory, nothing of `cluster` is imported.
"""

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from amqpbroker.config import Config

if TYPE_CHECKING:
    from amqpbroker.amqp.handover import Handover
    from amqpbroker.amqp.peer import Peer
    from amqpbroker.broker.broker import Broker
    from amqpbroker.broker.cluster import Cluster
    from amqpbroker.broker.node import Node
    from amqpbroker.clock import Clock
    from amqpbroker.management.shared_requests import SharedRequests
    from amqpbroker.server.clients import Clients
    from amqpbroker.server.data import Data, MakeCommitter
    from amqpbroker.server.http import HttpListener
    from amqpbroker.server.tick import Tick
    from amqpbroker.server.transport import ClientTransport


class RelayedConnections(ABC):
    """Connections of clients whose vhosts other brokers lead."""

    @property
    @abstractmethod
    def files(self) -> int:
        """Return the number of open files of all relayed connections."""

    @abstractmethod
    def hand_over(self, client: "ClientTransport", peer: "Peer", handover: "Handover") -> None:
        """Relay a client to the leader of its vhost, once there is one."""

    @abstractmethod
    def wait(self, handover: "Handover") -> None:
        """Hold a client that is relayed already until this broker leads its vhost."""

    @abstractmethod
    def leaders_changed(self, vhosts: Iterable[str]) -> None:
        """End connections whose vhosts have other leaders now."""

    @abstractmethod
    async def close(self) -> None:
        """End all relayed connections."""


class PeerListener(ABC):
    """The listener for other brokers."""

    @abstractmethod
    async def close(self) -> None:
        """Close the listener, and the connections that have no service yet."""


class SharedListeners(ABC):
    """Listening sockets of a broker that shares vhosts."""

    #: Sockets for clients, by protocol.
    bound: Mapping[str, list[socket.socket]]

    @abstractmethod
    def serve(self, loop: asyncio.AbstractEventLoop, clients: "Clients", web: Sequence["HttpListener"]) -> PeerListener:
        """Serve the connections of other brokers. web: listeners of the management API, none if it is disabled."""


class SharedVhosts(ABC):
    """The sharing of vhosts by a running broker, from its start until `close`."""

    #: All brokers, for operators.
    cluster: "Cluster"

    @abstractmethod
    def requests(self) -> "SharedRequests":
        """Return the part of the management API that sends requests to other brokers. Imports it first."""

    @abstractmethod
    async def import_definitions(self, node: "Node") -> None:
        """Import the definitions of the configuration, each by the broker that it concerns.

        Raises UnusableDefinitionsError.
        """

    @abstractmethod
    async def prepare_end(self, is_hurried: Callable[[], bool]) -> None:
        """Serve vhosts until other brokers are ready to take them, for a limited time, or until `is_hurried`."""

    @abstractmethod
    async def close(self) -> None:
        """Leave all vhosts to other brokers."""


#: Begins the sharing of vhosts by a broker and its clients. The last argument is called with the error of a store that
#: cannot write, and with None when all stores can write again.
Share = Callable[
    ["Broker", "Clients", "MakeCommitter", "Tick", "Clock", Callable[[OSError | None], None]], SharedVhosts
]


class SharedStore(ABC):
    """The database of a broker, from before its start until after its end."""

    listeners: SharedListeners

    @abstractmethod
    async def begin(self) -> bool:
        """Wait until the definitions are there, or make them; return False if `stop` was called before.

        Raises StoreError, UnusableDefinitionsError.
        """

    @abstractmethod
    def stop(self) -> None:
        """End `begin`."""

    @abstractmethod
    def opened(self) -> AbstractContextManager["Data"]:
        """Open the state that this broker starts from. At the end it leaves the other brokers. Raises StoreError."""


#: Returns the database of the configuration, for a process with this unique name. Raises StoreError, ListenError,
#: PatternError.
OpenSharedStore = Callable[[Config, str], SharedStore]
