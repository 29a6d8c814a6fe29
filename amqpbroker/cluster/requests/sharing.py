"""Requests to brokers that share vhosts: each is answered by the broker that can, or by all of them together."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, final
from urllib.parse import quote

from starlette.responses import Response

from amqpbroker.cluster.requests.answered_by import DEFAULT, ROWS, AnsweredBy, Row, answered_by
from amqpbroker.cluster.requests.merged_lists import merged, parsed_part, part_of
from amqpbroker.cluster.requests.part_memory import PartMemory, SharedPartMemory, holding, whole_of
from amqpbroker.cluster.requests.peer_forwarding import ForwardedAnswer, passed_on
from amqpbroker.cluster.requests.peers import NotSentError, Peer, PeerAnswer, PeerRequest, Peers
from amqpbroker.cluster.requests.sub_requests import SubRequest
from amqpbroker.management import failure
from amqpbroker.management.call import Call
from amqpbroker.management.failure import ApiError
from amqpbroker.management.listing import Listing
from amqpbroker.management.peer_requests import MISSING_BROKERS, MISSING_VHOSTS, MOVED, PART, sender_of
from amqpbroker.management.resource import Handler, Resource
from amqpbroker.management.shared_requests import Respond, Run, SharedRequests
from amqpbroker.management.streamed import answer

if TYPE_CHECKING:
    from starlette.requests import Request

    from amqpbroker.broker.broker import Broker

log = logging.getLogger(__name__)

#: Time for which a request waits until a broker serves its vhost, and the interval between two looks for it.
SERVED_S: Final = 5.0
LOOK_S: Final = 0.05
#: Time limit of an answer to a request that is passed on; it includes the work, such as a move of many messages.
ANSWER_S: Final = 300.0
#: Time limit of each answer that is gathered from all brokers.
PART_S: Final = 3.0
#: Time limit until a change that another broker has made is known here.
KNOWN_S: Final = 2.0

#: Most names in one of these headers.
MOST_NAMES: Final = 20

#: Makes the answer here, as the handler returns it.
Here = Callable[[], Awaitable[Any]]


@final
class Sharing(SharedRequests):
    """Answers the requests of clients. Requests that a peer sends are always answered here.

    held: the parts of lists that requests hold.
    """

    def __init__(self, peers: Peers) -> None:
        self.held = SharedPartMemory()
        self._peers = peers

    async def answer(self, resource: Resource, handler: Handler, call: Call, run: Run, respond: Respond) -> Response:
        """Return the response of the broker, or brokers, that the resource names. Raises the errors of handlers."""
        row, by = ROWS.get(resource.path, DEFAULT), answered_by(resource.path, call.reading)
        here: Here = partial(run, handler, call)
        if by is AnsweredBy.VHOST:
            here = partial(_while_served, here, call, call.path["vhost"])
        elif by is AnsweredBy.WRITER:
            here = partial(_while_writing, here, call)
        if call.from_peer:
            vhost = call.path.get("vhost", "")
            if vhost and row.divided is not None and call.request.method in ("PUT", "POST"):
                # It may be a part of a change, for the vhost.
                here = partial(_while_served, here, call, vhost)
            if by is AnsweredBy.VHOST and call.broker.is_elsewhere(vhost):
                raise failure.moved(vhost)
            if by is AnsweredBy.WRITER and self._peers.writer() is None:
                raise failure.not_writing()
            result = await here()
            if call.wants_part and isinstance(result, Listing):
                return await answer(part_of(result, call.query, call.rows), call.check)
            return await respond(result, call)
        parts = row.divided(call) if row.divided is not None and not call.reading else []
        if parts:
            return await self._in_parts(parts, call, run, respond)
        match by:
            case AnsweredBy.VHOST:
                return await self._by_vhost(call, here, respond)
            case AnsweredBy.WRITER:
                return await self._by_writer(call, here, respond)
            case AnsweredBy.HOLDER:
                return await self._by_holder(call, here, respond)
            case AnsweredBy.ALL:
                return await (self._gathered if call.reading else self._changed_by_all)(row, call, here, respond)
            case _:
                return await respond(await here(), call)

    async def catch_up_for(self, broker: "Broker", request: "Request", vhost: str | None) -> None:
        """Catch up with the writer if a peer knows the vhost, or the sender, of its request before this broker does."""
        sender = sender_of(request)
        knows_sender = sender is None or sender.all_powerful or broker.users.has(sender.name)
        if (vhost is None or vhost in broker.defined_vhosts) and (knows_sender or not broker.logins.answers_at_once):
            return
        await self._catch_up()

    def leader_of(self, vhost: str) -> str | None:
        peer = self._peers.serving(vhost)
        return None if peer is None or peer == self._peers.here else peer.name

    # --- one broker ---------------------------------------------------------------------------------------------------

    async def _by_vhost(self, call: Call, here: Here, respond: Respond) -> Response:
        return await self._by_one(call, *self._finding(call, call.path["vhost"]), passed_on(call), here, respond)

    def _finding(self, call: Call, vhost: str) -> tuple[Callable[[], Peer | None], str]:
        """Return what finds the broker of a vhost, and the subject of an error."""

        def find() -> Peer | None:
            if not call.broker.is_elsewhere(vhost):
                return self._peers.here
            peer = self._peers.serving(vhost)
            return None if peer == self._peers.here else peer

        return find, f"vhost '{vhost}' is served"

    async def _by_writer(
        self, call: Call, here: Here, respond: Respond, request: PeerRequest | None = None
    ) -> Response:
        """Return the answer of the writer of definitions. request: instead of the request of the client."""
        sent = passed_on(call) if request is None else request
        response = await self._by_one(call, self._peers.writer, "definitions are written", sent, here, respond)
        if isinstance(response, ForwardedAnswer) and response.status_code < 400:
            # The client may read at once what it has written.
            await self._catch_up()
        return response

    async def _catch_up(self) -> None:
        try:
            async with asyncio.timeout(KNOWN_S):
                await self._peers.catch_up()
        except OSError as error:
            log.info("changes that another broker has made are not known here yet: %s", error)

    async def _by_one(
        self,
        call: Call,
        find: Callable[[], Peer | None],
        what: str,
        request: PeerRequest,
        here: Here,
        respond: Respond,
    ) -> Response:
        """Return the answer of the broker that `find` returns. Wait for it, and try again if it has just changed."""
        loop = asyncio.get_running_loop()
        end = loop.time() + SERVED_S
        while True:
            peer = find()
            if peer == self._peers.here:
                return await respond(await here(), call)
            if peer is not None:
                try:
                    found = await self._peers.request(peer, request, ANSWER_S)
                except NotSentError as error:
                    log.info("broker '%s' is not reached: %s", peer.name, error)
                except OSError as error:
                    log.warning("broker '%s' has not answered: %s", peer.name, error)
                    raise failure.unanswered(peer.name, not call.reading) from None
                else:
                    if not found.header(MOVED):
                        return ForwardedAnswer(found, call.check)
                    await found.parts.aclose()
            if loop.time() >= end:
                raise failure.not_led(what)
            await asyncio.sleep(LOOK_S)
            call.check()

    async def _in_parts(self, parts: list[SubRequest], call: Call, run: Run, respond: Respond) -> Response:
        """Make a change in parts, one after the other; return the answer to the first, or that of the first failure."""
        answered: list[Response] = []
        try:
            for part in parts:
                answered.append(await self._made(part, call, run, respond))
                if answered[-1].status_code >= 400:
                    return answered.pop()
            return answered.pop(0)
        finally:
            for each in answered:
                if isinstance(each, ForwardedAnswer):
                    await each.close()

    async def _made(self, part: SubRequest, call: Call, run: Run, respond: Respond) -> Response:
        prefix = call.broker.config.management.path_prefix.rstrip("/")
        here = partial(run, part.here, call)
        request = passed_on(call)
        headers = [header for header in request.headers if header[0] != "content-type"]
        headers.append(("content-type", "application/json"))
        request = request._replace(target=f"{prefix}/api{part.path}", headers=headers, body=part.body)
        if part.vhost is None:
            return await self._by_writer(call, partial(_while_writing, here, call), respond, request)
        served = partial(_while_served, here, call, part.vhost)
        return await self._by_one(call, *self._finding(call, part.vhost), request, served, respond)

    # --- any broker ---------------------------------------------------------------------------------------------------

    async def _by_holder(self, call: Call, here: Here, respond: Respond) -> Response:
        """Return the answer of the broker that has the object; 404 if none has it."""
        try:
            return await respond(await here(), call)
        except ApiError as error:
            if error.status != 404:
                raise
            nothing: Exception = error
        except LookupError as error:
            nothing = error
        answers = await self._all(passed_on(call))
        found = [each for each in answers.values() if each is not None and each.status != 404]
        for each in answers.values():
            if each is not None and each not in found[:1]:
                await each.parts.aclose()
        if found:
            return ForwardedAnswer(found[0], call.check)
        for peer, each in answers.items():
            if each is None:
                raise failure.unanswered(peer.name, not call.reading)
        raise nothing

    # --- all brokers --------------------------------------------------------------------------------------------------

    async def _gathered(self, row: Row, call: Call, here: Here, respond: Respond) -> Response:
        """Return the answers of all brokers, merged.

        Headers name brokers that did not answer, and vhosts that no broker serves. Raises ApiError 503 instead if the
        answer must be complete.
        """
        held = self.held.one()
        try:
            result, parts, headers = await self._answers(row, call, here, held)
        except BaseException:
            held.release()
            raise
        if isinstance(result, Listing):
            rows = merged(result, parts, call.query, call.rows)
            return await answer(holding(held, rows), call.check, headers)
        held.release()
        if row.merged is not None:
            result = row.merged(result, parts)
        response = await respond(result, call)
        response.headers.update(headers)
        return response

    async def _answers(
        self, row: Row, call: Call, here: Here, held: PartMemory
    ) -> tuple[Any, list[Any], dict[str, str]]:
        """Return the answer here, those of others, and headers that say what is missing."""
        peers = self._peers.others()
        request = passed_on(call, (PART, "1"))._replace(method="GET")
        asked = [asyncio.ensure_future(self._part(peer, request, held)) for peer in peers]
        try:
            result = await here()
            parts = await asyncio.gather(*asked)
        finally:
            for each in asked:
                each.cancel()
        call.check()
        found: dict[Peer, Any] = {}
        for peer, part in zip(peers, parts, strict=True):
            if part is not None:
                try:
                    is_list = isinstance(result, Listing)
                    found[peer] = await parsed_part(part, call.rows) if is_list else json.loads(part)
                except ValueError:
                    log.warning("broker '%s' has sent no valid part", peer.name)
        missing = [peer.name for peer in peers if peer not in found]
        unserved = self._unserved(call)
        if row.complete and missing:
            raise failure.unanswered(missing[0], changes=False)
        if row.complete and unserved:
            raise failure.not_led(f"vhost '{unserved[0]}' is served")
        return result, [*found.values()], {**names_of(MISSING_BROKERS, missing), **names_of(MISSING_VHOSTS, unserved)}

    def _unserved(self, call: Call) -> list[str]:
        """Return the vhosts that the user sees, and that no broker serves at the moment."""
        broker = call.broker
        return [
            name
            for name in broker.defined_vhosts
            if name not in broker.vhosts
            and self._peers.serving(name) in (None, self._peers.here)
            and call.identity.sees_vhost(name)
        ]

    async def _part(self, peer: Peer, request: PeerRequest, held: PartMemory) -> bytes | None:
        """Return the body of a peer's answer, None if it does not come. Raises ApiError if it is too long."""
        try:
            async with asyncio.timeout(PART_S):
                return await whole_of(peer, await self._peers.request(peer, request, PART_S), held)
        except OSError as error:
            log.warning("broker '%s' has not answered: %s", peer.name, error)
            return None

    async def _changed_by_all(self, row: Row, call: Call, here: Here, respond: Respond) -> Response:
        """Make a change at all brokers. Raises ApiError 503 if one of them does not answer."""
        response = await respond(await here(), call)
        answers = await self._all(passed_on(call))
        for peer, each in answers.items():
            if each is not None:
                await each.parts.aclose()
            if each is None or each.status >= 400:
                raise failure.unanswered(peer.name, changes=True)
        return response

    async def _all(self, request: PeerRequest) -> dict[Peer, PeerAnswer | None]:
        """Return the answers of all other brokers, None for one that does not answer."""
        peers = self._peers.others()
        answers = await asyncio.gather(*[self._one(peer, request) for peer in peers])
        return dict(zip(peers, answers, strict=True))

    async def _one(self, peer: Peer, request: PeerRequest) -> PeerAnswer | None:
        try:
            return await self._peers.request(peer, request, PART_S)
        except OSError as error:
            log.warning("broker '%s' has not answered: %s", peer.name, error)
            return None


async def _while_served(here: Here, call: Call, vhost: str) -> Any:
    """Return the answer here. Raises ApiError 503 if the vhost has moved meanwhile, so that the answer may be wrong."""
    served = call.broker.vhosts.get(vhost)
    try:
        result = await here()
    except (ApiError, LookupError, ValueError):
        if served is not None and call.broker.is_elsewhere(vhost):
            raise (failure.moved(vhost) if call.reading else failure.moved_meanwhile(vhost)) from None
        raise
    if served is not None and not call.reading and served.storage.is_closed and call.broker.is_elsewhere(vhost):
        # Nobody has waited until the change was stored.
        raise failure.moved_meanwhile(vhost)
    return result


def names_of(header: str, missing: list[str]) -> dict[str, str]:
    """Return the header that names the first missing brokers or vhosts, nothing if there are none."""
    shown = [quote(name, safe="@") for name in missing[:MOST_NAMES]]
    return {header: ", ".join(shown)} if shown else {}


async def _while_writing(here: Here, call: Call) -> Any:
    """Return the answer here. Raises ApiError 503 if another broker writes the definitions now, without the change."""
    written = call.broker.written_definitions
    result = await here()
    if written in call.unstored:
        raise failure.written_elsewhere()
    return result
