"""A broker that the database does not answer: what the other brokers lead meanwhile."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterable
from typing import Final, final

from amqpbroker.broker.cluster import Leading
from amqpbroker.cluster.leadership.leadership import Leader
from amqpbroker.cluster.requests.peers import Peer, PeerRequest, Peers
from amqpbroker.management.peer_requests import Sender
from amqpbroker.management.routes.maintenance import LEADERS, leadings

log = logging.getLogger(__name__)

#: Shortest and longest interval at which the other brokers are asked, and the time limit of an answer. It grows while
#: they say nothing new, as when the database answers nobody.
REQUEST_S: Final = 1.0
LONGEST_S: Final = 8.0
ANSWER_S: Final = 2.0


@final
class PartitionMonitor:
    """Asks the other brokers who leads, while the leases of this one may have ended, until `close`.

    A leader cannot tell whether others have taken its vhosts over, or the database answers nobody. In the first case
    its clients must go elsewhere, and in the second they wait.

    leaders: of vhosts, as the others have said; empty while the database answers.
    """

    def __init__(
        self,
        peers: Peers,
        path_prefix: str,
        may_have_ended: Callable[[], bool],
        others: Callable[[], Iterable[Leader]],
        on_leader: Callable[[str, str, int], None],
    ) -> None:
        """path_prefix: of the HTTP API. may_have_ended: see Leaderships. others: returns them with their ports.

        on_leader: called for each log with the name of a leader and the epoch of its leadership, which is higher than
        that of the last call.
        """
        self.leaders: dict[str, Leader] = {}
        self._epochs: dict[str, int] = {}
        self._pause_s: float = REQUEST_S
        self._peers = peers
        self._target = f"{path_prefix.rstrip('/')}/api{LEADERS}"
        self._may_have_ended = may_have_ended
        self._others = others
        self._on_leader = on_leader
        self._task = asyncio.get_running_loop().create_task(self._run())

    def close(self) -> None:
        """Ask no more."""
        self._task.cancel()

    async def _run(self) -> None:
        had_ended = False
        while True:
            await asyncio.sleep(self._pause_s)
            before, had_ended = had_ended, self._may_have_ended()
            try:
                if not had_ended:
                    # The leaders that this broker reads itself may be newer.
                    self.leaders, self._epochs, self._pause_s = {}, {}, REQUEST_S
                elif before:
                    # Not at once: a process that was stopped and goes on usually reaches the database.
                    await self._find_leaders()
            except Exception:
                log.exception("internal error in asking the other brokers")

    async def _find_leaders(self) -> None:
        """Find leaders of a higher epoch than is known so far."""
        answers = await asyncio.gather(*[self._answer(peer) for peer in self._peers.others()])
        # The database may have answered meanwhile.
        if not self._may_have_ended():
            return
        others = {each.process: each for each in self._others()}
        self._pause_s = min(2 * self._pause_s, LONGEST_S)
        for row in (row for rows in answers for row in rows):
            if row.epoch > self._epochs.get(row.log, 0):
                self._epochs[row.log] = row.epoch
                self._pause_s = REQUEST_S
                # Clients cannot be passed on to a broker that has started since the database answered last.
                self.leaders.pop(row.vhost, None)
                if row.process in others:
                    self.leaders[row.vhost] = others[row.process]._replace(epoch=row.epoch)
                self._on_leader(row.log, row.name, row.epoch)

    async def _answer(self, peer: Peer) -> list[Leading]:
        """Return the vhosts with their leaders as another broker knows them, none if it does not answer."""
        sender = Sender(self._peers.here.name, ("administrator",), True)
        request = PeerRequest("GET", self._target, [sender.header()], b"", ("", 0))
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await self._peers.request(peer, request, ANSWER_S)
                body = b"".join([part async for part in answer.parts])
            return leadings(json.loads(body)) if answer.status == 200 else []
        except (OSError, ValueError, LookupError, TypeError) as error:
            log.debug("broker '%s' has not said which vhosts it leads: %s", peer.name, error)
            return []
