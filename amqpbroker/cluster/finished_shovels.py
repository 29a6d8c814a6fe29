"""Deletes finished shovels through the broker that writes the definitions of all vhosts."""

import asyncio
import logging
from functools import partial
from http import HTTPStatus
from typing import Final, final
from urllib.parse import quote

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.shovels.shovels import SHOVEL
from amqpbroker.cluster.requests.peers import Peer, PeerRequest, Peers
from amqpbroker.errors import AmqpError
from amqpbroker.management.peer_requests import Sender

log = logging.getLogger(__name__)

#: Interval between two attempts.
RETRY_S: Final = 1.0
#: Time limit of an answer.
ANSWER_S: Final = 10.0


@final
class FinishedShovels:
    """Deletes each finished shovel that `delete` names, as often as it takes, until `close`."""

    def __init__(self, broker: Broker, peers: Peers) -> None:
        self._broker = broker
        self._peers = peers
        #: Tasks by vhost and name.
        self._deleting: dict[tuple[str, str], asyncio.Task[None]] = {}

    def delete(self, vhost: str, name: str) -> None:
        """Delete a shovel soon, unless it is defined anew, or its vhost moves, before that."""
        value = self._value(vhost, name)
        if (vhost, name) in self._deleting or value is None:
            return
        task = asyncio.get_running_loop().create_task(self._delete(vhost, name, value))
        self._deleting[vhost, name] = task
        task.add_done_callback(partial(self._done, (vhost, name)))

    def close(self) -> None:
        """Delete nothing more. A shovel that is left runs again where its vhost is served next."""
        for task in list(self._deleting.values()):
            task.cancel()

    def _done(self, key: tuple[str, str], task: "asyncio.Task[None]") -> None:
        del self._deleting[key]
        if not task.cancelled() and task.exception() is not None:
            log.critical("internal error with a finished shovel in vhost '%s'", key[0], exc_info=task.exception())

    def _value(self, vhost: str, name: str) -> object | None:
        """Return the definition of a shovel whose vhost is served here."""
        if vhost not in self._broker.vhosts:
            return None
        return next((value for _, each, value in self._broker.shovels.values(vhost) if each == name), None)

    async def _delete(self, vhost: str, name: str, value: object) -> None:
        reason = ""
        while self._value(vhost, name) is value:
            try:
                if await self._attempt(vhost, name):
                    return
                failure = "no broker writes definitions at the moment"
            except (OSError, AmqpError) as error:
                failure = str(error)
            if failure != reason:
                reason = failure
                log.warning("the shovel '%s' in vhost '%s' cannot be deleted yet: %s", name, vhost, reason)
            await asyncio.sleep(RETRY_S)

    async def _attempt(self, vhost: str, name: str) -> bool:
        """Return whether the shovel is deleted. Raises OSError, AmqpError."""
        writer = self._peers.writer()
        if writer is None:
            return False
        if writer == self._peers.here:
            self._broker.shovels.delete(vhost, name)
            return True
        return await self._request(writer, vhost, name)

    async def _request(self, writer: Peer, vhost: str, name: str) -> bool:
        prefix = self._broker.config.management.path_prefix.rstrip("/")
        path = "/".join(quote(part, safe="") for part in (SHOVEL, vhost, name))
        sender = Sender(self._peers.here.name, ("administrator",), True)
        request = PeerRequest("DELETE", f"{prefix}/api/parameters/{path}", [sender.header()], b"", ("", 0))
        answer = await self._peers.request(writer, request, ANSWER_S)
        await answer.parts.aclose()
        if answer.status >= 400 and answer.status != HTTPStatus.NOT_FOUND:
            raise ConnectionError(f"broker '{writer.name}' answers with status {answer.status}")
        return True
