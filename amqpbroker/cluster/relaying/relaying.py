"""Relayed connections: clients of vhosts that other brokers lead.

A connection that is to be handed over waits in its handshake. The handshake is replayed to the leader, which
authenticates the client again and checks its permissions. Then both sockets belong to a `Relay`. TLS ends at this
broker; the leader learns the client's address and TLS parameters from the greeting (peer_port.py).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeAlias, TypeVar

from amqpbroker import errors
from amqpbroker.amqp.handover import Handover
from amqpbroker.amqp.peer import Peer
from amqpbroker.cluster.leadership.leadership import Target
from amqpbroker.cluster.peers.peer_port import CONNECT_S, TooLongError, greeting
from amqpbroker.cluster.relaying.leader_link import LeaderLink
from amqpbroker.cluster.relaying.relay import Relay
from amqpbroker.server.listeners import shown
from amqpbroker.server.log import in_one_line
from amqpbroker.server.protocols import RELAYED
from amqpbroker.server.shared_vhosts import RelayedConnections
from amqpbroker.server.socket_options import set_options
from amqpbroker.server.transport import ClientTransport

log = logging.getLogger(__name__)

T = TypeVar("T")
#: An attempt to connect to a leader.
Linking: TypeAlias = "asyncio.Task[tuple[asyncio.Transport, LeaderLink]]"

#: Time for which a client waits until its vhost has a leader.
LEADER_S: Final = 5.0
#: Interval between the first two attempts to connect to a leader.
LOOK_S: Final = 0.05
#: Interval at which connections to earlier leaders are ended.
OTHERS_S: Final = 0.5
#: Bytes that are passed on at once.
PART_BYTES: Final = 65536
#: Longest interval between two attempts: thousands of clients may wait for a leader.
_PAUSE_S: Final = 0.4
#: Files that a relayed connection has open.
_FILES_EACH: Final = 2
#: The most event loop iterations until dropped sockets are closed; with TLS it takes two.
_TURNS: Final = 10


class Relaying(RelayedConnections):
    """Hands connections over, and relays them until they end or their vhost gets another leader."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        target: Callable[[str], Target | None],
        is_here: Callable[[str], bool],
        is_full: Callable[[], bool],
        process: str = "",
    ) -> None:
        """target: returns the port of a vhost's leader, None if there is none at the moment.

        is_here: returns whether this broker serves a vhost. is_full: returns whether no more files may be open.
        process: of this broker.
        """
        self._loop = loop
        self._target = target
        self._is_here = is_here
        self._is_full = is_full
        self._process = process
        self._buffer = memoryview(bytearray(PART_BYTES))
        self._tasks: set[asyncio.Task[None]] = set()
        #: The vhost and the leader of each connection.
        self._relays: dict[Relay, tuple[str, Target]] = {}
        #: Done when a vhost gets another leader, or this broker serves it; for vhosts for which clients wait.
        self._changes: dict[str, asyncio.Future[None]] = {}
        self._looking: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def files(self) -> int:
        """Number of open files, except for those of clients that wait to be handed over."""
        return len(self._tasks) + _FILES_EACH * len(self._relays)

    def hand_over(self, client: ClientTransport, peer: Peer, handover: Handover) -> None:
        """Connect to the leader of the vhost, and relay the connection from then on; refuse it if that fails."""
        if self._closed:
            handover.refuse(errors.shutdown())
        elif self._is_full():
            handover.refuse(errors.no_files_for_vhost(handover.vhost))
        else:
            task = self._loop.create_task(self._hand_over(client, peer, handover))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def wait(self, handover: Handover) -> None:
        """Serve a connection that another broker relays once this one serves the vhost; refuse it if it does not.

        It may have the vhost's leadership, and still read the messages.
        """
        if self._closed:
            handover.refuse(errors.shutdown())
            return
        task = self._loop.create_task(self._wait(handover))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def leaders_changed(self, vhosts: Iterable[str]) -> None:
        """Wake the clients that wait for the leaders of these vhosts."""
        for vhost in vhosts:
            if (change := self._changes.pop(vhost, None)) is not None:
                change.set_result(None)

    async def _pause(self, vhost: str, longest_s: float) -> None:
        """Wait until the leader of a vhost has changed, or for some time."""
        if vhost not in self._changes:
            self._changes[vhost] = self._loop.create_future()
        await asyncio.wait([self._changes[vhost]], timeout=longest_s)

    async def _wait(self, handover: Handover) -> None:
        vhost, end = handover.vhost, self._loop.time() + LEADER_S
        while not self._is_here(vhost):
            if self._target(vhost) is not None or self._loop.time() >= end:
                handover.refuse(errors.vhost_led_elsewhere(vhost))
                return
            await self._pause(vhost, _PAUSE_S)
        handover.serve()

    async def close(self) -> None:
        """End all connections."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for relay in list(self._relays):
            relay.abort()
        for _ in range(_TURNS):
            if not self._relays:
                break
            await asyncio.sleep(0)
        if self._looking is not None:
            self._looking.cancel()

    # --- handover -----------------------------------------------------------------------------------------------------

    async def _hand_over(self, client: ClientTransport, peer: Peer, handover: Handover) -> None:
        try:
            await self._try_leaders(client, peer, handover)
        except TooLongError:
            handover.refuse(errors.certificate_too_long(handover.vhost))
        except Exception:
            log.exception("internal error in the handover of connection %s", peer.name)
            client.abort()

    async def _try_leaders(self, client: ClientTransport, peer: Peer, handover: Handover) -> None:
        """Connect to the leader, and again until the time is over: the leader may change. Raises TooLongError."""
        vhost, end = handover.vhost, self._loop.time() + LEADER_S
        error, reason, pause_s = errors.vhost_without_leader(vhost), "", LOOK_S
        while not client.closing:
            if self._is_here(vhost):
                handover.serve()
                return
            target = self._target(vhost)
            if target is not None:
                error = errors.vhost_out_of_reach(vhost)
                try:
                    linking = self._loop.create_task(self._linked(target, peer, handover.handshake, end))
                    leader, link = await self._while_it_leads(linking, client, vhost, target)
                except TooLongError:
                    raise
                except (OSError, TimeoutError, ValueError) as failure:
                    reason = f"the leader of vhost '{in_one_line(vhost)}' at {shown(*target[:2])}: {failure}"
                else:
                    self._relay(client, leader, link, peer, vhost, target)
                    return
            if self._loop.time() + pause_s >= end:
                # A further attempt would have no time, and its failure would hide the reason of this one.
                if reason:
                    log.warning("connection %s is refused: %s", peer.name, reason)
                handover.refuse(error)
                return
            await self._pause(vhost, pause_s)
            pause_s = min(2 * pause_s, _PAUSE_S)

    async def _while_it_leads(
        self, linking: Linking, client: ClientTransport, vhost: str, target: Target
    ) -> tuple[asyncio.Transport, LeaderLink]:
        """Wait for `_linked`. Raises TimeoutError also when the vhost gets another leader, or the client leaves."""
        try:
            while not linking.done() and not client.closing and self._target(vhost) == target:
                await asyncio.wait([linking], timeout=_PAUSE_S)
        except asyncio.CancelledError:
            await _abort(linking)
            raise
        if linking.done():
            return linking.result()
        await _abort(linking)
        raise TimeoutError("it does not lead the vhost any more")

    async def _linked(
        self, target: Target, peer: Peer, handshake: bytes, end: float
    ) -> tuple[asyncio.Transport, LeaderLink]:
        """Connect to a leader, and replay the handshake. Raises OSError, TimeoutError, ValueError."""

        def greet(nonce: bytes) -> bytes:
            return greeting(target.secret, nonce, RELAYED, peer.host, peer.port, self._process, peer.tls, peer.user)

        def make() -> LeaderLink:
            return LeaderLink(self._loop, target.secret, greet, handshake)

        connecting = self._loop.create_connection(make, target.host, target.port)
        leader, link = await _within(min(self._loop.time() + CONNECT_S, end), connecting, "no connection")
        try:
            # A busy leader answers late, and would answer a further attempt as late.
            error = await _within(end, link.greeted, "no answer to the greeting")
            if error is None:
                error = await _within(end, link.ready, "no answer to the handshake")
            _check(error)
            if not link.lost:
                set_options(leader.get_extra_info("socket"), target.host)
        except BaseException:
            leader.abort()
            raise
        return leader, link

    # --- relays -------------------------------------------------------------------------------------------------------

    def _relay(
        self,
        client: ClientTransport,
        leader: asyncio.Transport,
        link: LeaderLink,
        peer: Peer,
        vhost: str,
        target: Target,
    ) -> None:
        relay = Relay(self._loop, self._buffer, self._ended)
        handed = client.hand_over(relay.client)
        if handed is None:
            leader.abort()
            return
        to = shown(*target[:2])
        log.info("connection %s is relayed to %s, which leads vhost '%s'", peer.name, to, in_one_line(vhost))
        self._relays[relay] = vhost, target
        if self._looking is None:
            self._looking = self._loop.call_later(OTHERS_S, self._end_others)
        transport, rest = handed
        relay.begin(transport, None if link.lost else leader, link.rest, rest)

    def _end_others(self) -> None:
        """End connections to earlier leaders, which may be gone without a word, again and again."""
        for relay, (vhost, leader) in list(self._relays.items()):
            if self._is_here(vhost) or self._target(vhost) not in (None, leader):
                relay.end()
        self._looking = self._loop.call_later(OTHERS_S, self._end_others) if self._relays else None

    def _ended(self, relay: Relay) -> None:
        self._relays.pop(relay, None)


async def _within(end: float, awaited: Awaitable[T], missing: str) -> T:
    """Wait until a time of the event loop. missing: text of the TimeoutError that it raises."""
    try:
        async with asyncio.timeout_at(end):
            return await awaited
    except TimeoutError as error:
        raise TimeoutError(f"{missing} in time") from error


def _check(error: Exception | None) -> None:
    if error is not None:
        raise error


async def _abort(linking: Linking) -> None:
    """End an attempt to connect to a leader, which may have succeeded meanwhile."""
    linking.cancel()
    await asyncio.wait([linking])
    if not linking.cancelled() and linking.exception() is None:
        linking.result()[0].abort()
