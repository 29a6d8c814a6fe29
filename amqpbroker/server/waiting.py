"""The listeners of a broker that waits until it leads: all connections are passed on to the leader."""

import asyncio
import json
import re
import socket
from collections.abc import Callable

from amqpbroker.config import Config
from amqpbroker.server import machine
from amqpbroker.server.forwarding import Forwarding
from amqpbroker.server.protocols import AMQP, AMQPS, HTTP, HTTPS
from amqpbroker.store.database.leadership import Leader, Target

#: Files that the forwarding of a connection keeps open, and files that are kept for other purposes.
_FILES_EACH = 2
_RESERVED_FILES = 64


class Waiting:
    """Serves the bound sockets until `close`, which leaves them open for the broker that leads next.

    Requests of HTTP that ask whether this broker leads are answered here, and all requests while no broker leads.
    """

    def __init__(
        self,
        config: Config,
        loop: asyncio.AbstractEventLoop,
        bound: dict[str, list[socket.socket]],
        leader: Callable[[], Leader | None],
        process: str,
    ) -> None:
        """bound: by protocol. leader: returns the present one. process: of this broker."""
        self._leader = leader
        prefix = re.escape(config.management.path_prefix.rstrip("/")).encode()
        self._asks = re.compile(rb"(GET|HEAD) %b/leader/[^/ ]+ " % prefix)
        most = (machine.file_limit(raised=True) - _RESERVED_FILES) // _FILES_EACH
        passed_on = {protocol: bound[protocol] for protocol in (AMQP, AMQPS, HTTP, HTTPS) if protocol in bound}
        self._forwarding = Forwarding(loop, passed_on, self._target, most, {HTTP: self._answer}, process)

    def start(self) -> None:
        self._forwarding.start()

    async def close(self) -> None:
        await self._forwarding.close()

    def _target(self) -> Target | None:
        leader = self._leader()
        return leader.target if leader is not None and leader.target.port else None

    def _answer(self, line: bytes) -> bytes:
        """Return the answer to a request of HTTP, or nothing if it is the leader's."""
        leader = self._leader()
        if leader is not None and not self._asks.match(line):
            return b""
        reason = "no broker leads yet" if leader is None else f"{leader.name} leads, and this broker waits"
        facts = None if leader is None else {"node": leader.name, "address": leader.address, "epoch": leader.epoch}
        body = json.dumps({"error": "not_leader", "reason": reason, "leader": facts}).encode()
        head = (
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        return head.encode() + (b"" if line.startswith(b"HEAD") else body)
