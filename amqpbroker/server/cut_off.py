"""A broker that the database does not answer: what the other brokers lead meanwhile."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, final

from amqpbroker.management.peers import Peer, PeerRequest, Peers, Sender
from amqpbroker.management.routes.maintenance import LEADERS
from amqpbroker.store.database.leadership import Leader

log = logging.getLogger(__name__)

#: Interval at which the other brokers are asked, and the time limit of an answer.
REQUEST_S: Final = 1.0
ANSWER_S: Final = 2.0


@final
class CutOff:
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
        on_leader: Callable[[str, Leader], None],
    ) -> None:
        """path_prefix: of the HTTP API. may_have_ended: see Leaderships. others: returns them with their ports.

        on_leader: called for each vhost with the leader that has the highest epoch.
        """
        self.leaders: dict[str, Leader] = {}
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
            await asyncio.sleep(REQUEST_S)
            before, had_ended = had_ended, self._may_have_ended()
            try:
                if not had_ended:
                    # The leaders that this broker reads itself may be newer.
                    self.leaders = {}
                elif before:
                    # Not at once: a process that was stopped and goes on usually reaches the database.
                    await self._find_leaders()
            except Exception:
                log.exception("internal error in asking the other brokers")

    async def _find_leaders(self) -> None:
        """Find the leader of each vhost with the highest epoch that any of the others knows."""
        answers = await asyncio.gather(*[self._answer(peer) for peer in self._peers.others()])
        others = {each.process: each for each in self._others()}
        found: dict[str, Leader] = {}
        for row in (row for rows in answers for row in rows):
            vhost, process, epoch = row["vhost"], row["process"], row["epoch"]
            if process in others and (vhost not in found or epoch > found[vhost].epoch):
                found[vhost] = others[process]._replace(epoch=epoch)
        # The database may have answered meanwhile.
        if self._may_have_ended():
            self.leaders = found
            for vhost, leader in found.items():
                self._on_leader(vhost, leader)

    async def _answer(self, peer: Peer) -> list[Any]:
        """Return the vhosts with their leaders as another broker knows them, none if it does not answer."""
        sender = Sender(self._peers.here.name, ("administrator",), True)
        request = PeerRequest("GET", self._target, [sender.header()], b"", ("", 0))
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await self._peers.request(peer, request, ANSWER_S)
                body = b"".join([part async for part in answer.parts])
            return json.loads(body) if answer.status == 200 else []
        except (OSError, ValueError) as error:
            log.debug("broker '%s' has not said which vhosts it leads: %s", peer.name, error)
            return []
