"""The ASGI application: the API under /api, the page under /.

It runs in the broker's loop, so a handler may call the domain as it likes, and holds everybody up while it does.
"""

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from amqpbroker.broker.events.events import INTERNAL
from amqpbroker.errors import AmqpError
from amqpbroker.management import failure
from amqpbroker.management.authentication import CSRF_HEADER, Authenticator, comes_from_elsewhere
from amqpbroker.management.bodies import Bodies
from amqpbroker.management.call import READING, Answer, Call
from amqpbroker.management.completion import all_defined, all_written
from amqpbroker.management.definitions.export import Exported, written
from amqpbroker.management.failure import ApiError
from amqpbroker.management.identity import Access, Identity
from amqpbroker.management.listing import Listing, asked_columns, encode, only
from amqpbroker.management.peer_requests import MISSING_BROKERS, MISSING_VHOSTS, is_from_peer
from amqpbroker.management.proxies import Proxies
from amqpbroker.management.resource import Handler, Resource
from amqpbroker.management.routes import RESOURCES
from amqpbroker.management.sessions import Sessions
from amqpbroker.management.shared_requests import SharedRequests
from amqpbroker.management.streamed import ClosableResponse, answer, encoded
from amqpbroker.management.waiting import Place, Waiting

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker
    from amqpbroker.broker.node import Node

log = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"

SECURITY_HEADERS = {
    "content-security-policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
}

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]


def build_app(
    broker: "Broker",
    node: "Node",
    resources: Iterable[Resource] = RESOURCES,
    shared: SharedRequests | None = None,
) -> _App:
    """Return the application, under management.path_prefix. shared: for requests that several brokers answer."""
    config = broker.config
    timeout_ms = config.management.login_session_timeout_min * 60_000
    sessions = Sessions(broker.clock, timeout_ms, config.bounds)
    authenticator = Authenticator(broker, sessions, node.token)
    bodies = Bodies(config.bounds.bodies_bytes)
    waiting = Waiting(config.bounds.waiting, config.bounds.user_waiting)
    endpoint = partial(_Endpoint, broker, node, authenticator, bodies, waiting, shared)
    api = [Route(resource.path, endpoint(resource)) for resource in resources]
    api.append(Route("/{unknown:path}", endpoint(Resource("", Access.ANYBODY))))
    routes: list[Any] = [Mount("/api", routes=api), Route("/leader/{vhost}", _leads(broker, node, shared))]
    if STATIC.is_dir():
        routes.append(Mount("/", StaticFiles(directory=STATIC, html=True)))
    app: _App = Starlette(routes=routes)
    origins = config.management.cors_allow_origins
    if origins:
        app = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"),
            allow_headers=("authorization", "content-type", "x-reason", CSRF_HEADER),
            # With pages of anywhere, no browser is to send what it remembers of its own accord.
            allow_credentials="*" not in origins,
            expose_headers=("location", MISSING_BROKERS, MISSING_VHOSTS),
            max_age=config.management.cors_max_age_s,
        )
    return Proxies(_Prefixed(app, config.management.path_prefix), config.management.trusted_proxies)


def _leads(broker: "Broker", node: "Node", shared: SharedRequests | None) -> Callable[[Request], Awaitable[Response]]:
    """Return the check of load balancers whether this broker serves a vhost.

    The answer is 503 if another one does, and names its leader. It is also 503 if another one may have taken the vhost
    over, since the database does not answer this broker.
    """

    async def answer_leads(request: Request) -> Response:
        vhost = unquote(request.path_params["vhost"])
        if broker.is_elsewhere(vhost):
            leader = None if shared is None else shared.leader_of(vhost)
            if leader is None:
                reason = f"no broker leads vhost '{vhost}' at the moment"
                return _json(503, {"error": "not_leader", "reason": reason, "leader": None})
            reason = f"{leader} leads vhost '{vhost}'"
            return _json(503, {"error": "not_leader", "reason": reason, "leader": {"node": leader}})
        if broker.shares_vhosts and vhost not in broker.defined_vhosts:
            return _json(404, {"error": "not_found", "reason": f"vhost '{vhost}' does not exist"})
        if node.cluster is not None and not node.cluster.leads_surely():
            reason = f"the database does not answer this broker, and another one may lead vhost '{vhost}'"
            return _json(503, {"error": "not_leader", "reason": reason, "leader": None})
        return _json(200, {"node": node.name})

    return answer_leads


@final
class _Prefixed:
    """Takes the prefix off, leaves paths quoted (%2F is a vhost, not a slash), and adds what every answer has."""

    def __init__(self, app: _App, prefix: str) -> None:
        self._app = app
        self._prefix = prefix.rstrip("/")

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        path = scope.get("raw_path", b"").decode("ascii", "replace")
        if self._prefix:
            if path != self._prefix and not path.startswith(self._prefix + "/"):
                await Response(status_code=404)(scope, receive, send)
                return
            if path == self._prefix:
                await Response(status_code=301, headers={"location": self._prefix + "/"})(scope, receive, send)
                return
            path = path.removeprefix(self._prefix)
        directory = path.removesuffix("/")
        if directory in ("/api", "/cli"):
            location = f"{self._prefix}{directory}/index.html"
            await Response(status_code=301, headers={"location": location})(scope, receive, send)
            return
        if path.endswith("/") and path.startswith("/api/"):
            path = path[:-1]  # as cowboy's router does; some clients leave the vhost out behind a slash
        # Starlette before 0.33 does not take a root path off the path.
        scope = {**scope, "path": path, "root_path": ""}

        async def secured(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        await self._app(scope, receive, secured)


@final
class _Endpoint:
    """ASGI application of one resource."""

    def __init__(
        self,
        broker: "Broker",
        node: "Node",
        authenticator: Authenticator,
        bodies: Bodies,
        waiting: Waiting,
        shared: SharedRequests | None,
        resource: Resource,
    ) -> None:
        self._broker = broker
        self._node = node
        self._authenticator = authenticator
        self._bodies = bodies
        self._waiting = waiting
        self._shared = shared
        self._resource = resource

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        with self._waiting.one() as place:
            await self._respond(Request(scope, receive), place, send)

    async def _respond(self, request: Request, place: Place, send: _Send) -> None:
        try:
            response = await self._answer(request, place)
        except ApiError as error:
            response = _failed(request, error)
        except AmqpError as error:
            response = _failed(request, failure.from_amqp(error))
        except ValueError as error:
            response = _failed(request, failure.bad_request(str(error)))
        except LookupError:
            response = _failed(request, failure.not_found())
        except ClientDisconnect:
            return
        except Exception:
            log.exception("internal error: %s %s", request.method, request.url.path)
            response = _json(500, {"error": "internal_server_error", "reason": "see the broker's log"})
        if request.method not in READING:
            # As in RabbitMQ, the affected clients are notified before the request is answered.
            await all_written(self._broker)
        await response(request.scope, request.receive, send)

    async def _answer(self, request: Request, place: Place) -> Response:
        resource = self._resource
        path = {name: unquote(value) for name, value in request.path_params.items()}
        if self._shared is not None and is_from_peer(request):
            await self._shared.catch_up_for(self._broker, request, path.get("vhost"))
        identity = await self._authenticator.identify(request)
        handler = resource.handler(request.method)
        if not resource.path:
            raise failure.not_found()
        if request.method == "OPTIONS":
            return Response(headers={"allow": ", ".join(resource.methods)})
        if handler is None:
            return Response(status_code=405, headers={"allow": ", ".join(resource.methods)})
        reading = request.method in READING
        if not reading and comes_from_elsewhere(request.headers, self._broker.config.management.cors_allow_origins):
            raise failure.foreign_origin()
        access = resource.access if reading or resource.change is None else resource.change
        if access is not Access.ANYBODY and identity is None:
            return _challenge(request)
        if identity is not None:
            await identity.load([path["vhost"]] if "vhost" in path else self._broker.defined_vhosts)

        def check() -> Identity | None:
            """Return the sender of the request if the request is still allowed. Raises ApiError."""
            now = self._authenticator.still(request, identity)
            if access is not Access.ANYBODY:
                if now is None:
                    raise failure.wrong_login()
                self._require(now, access, None if resource.any_vhost else path.get("vhost"), request.method)
            return now

        def wait() -> None:
            """Count the request as one that waits. Raises ApiError 503."""
            if identity is None:
                place.occupy(None, is_administrator=False)
            else:
                place.occupy(identity.user.name, identity.is_administrator)

        check()
        with self._bodies.one() as body:
            call = Call(self._broker, self._node, self._authenticator, check, request, path)
            if request.method in ("PUT", "POST"):
                most = resource.max_body(identity is not None, self._broker.config.bounds.body_bytes)
                call.raw = await body.read(request, most, partial(_may_send, resource, call), wait)
            call.check()
            if resource.waits is not None and resource.waits(call):
                wait()
            if self._shared is None:
                response = await _response(await self._result(handler, call), call)
            else:
                response = await self._shared.answer(resource, handler, call, self._result, _response)
        if reading:
            call.check()
            if isinstance(response, ClosableResponse):
                await _while_sent(response, wait)
        return response

    async def _result(self, handler: Handler, call: Call) -> Any:
        """Return what the handler returns, once its changes are safe."""
        self._broker.events.act_as(call.sender)
        try:
            result = handler(call)
        finally:
            self._broker.events.act_as(INTERNAL)
        if inspect.isawaitable(result):
            result = await result
        if not call.reading:
            call.unstored = await all_defined(self._broker)
        return result

    def _require(self, identity: Identity, access: Access, vhost: str | None, method: str) -> None:
        identity.require(access, None)
        if vhost is not None and vhost not in self._broker.defined_vhosts:
            raise failure.no_vhost() if method in ("PUT", "POST") else failure.not_found()
        identity.require(access, vhost)


async def _while_sent(response: ClosableResponse, wait: Callable[[], None]) -> None:
    """Count the request as one that waits until its answer is sent. Raises ApiError 503."""
    try:
        wait()
    except ApiError:
        await response.close()
        raise


def _may_send(resource: Resource, call: Call) -> None:
    """Raises ApiError or AmqpError if the sender of a large body may not make the request."""
    call.check()
    if resource.may_send is not None:
        resource.may_send(call)


async def _response(result: Any, call: Call) -> Response:
    if isinstance(result, Response):
        return result
    if isinstance(result, Answer):
        return _json(result.status, result.json, dict(result.headers))
    if isinstance(result, Exported):
        return await answer(written(result.document, call.rows), call.check, result.headers)
    if isinstance(result, Listing):
        return await answer(encode(result, call.query, call.rows), call.check)
    columns = asked_columns(call.query)
    if columns is not None and isinstance(result, dict):
        result = only(result, columns)
    return _json(200, result)


def _json(status: int, value: Any, headers: dict[str, str] | None = None) -> Response:
    content = b"" if value is None else encoded(value)
    media_type = None if value is None else "application/json"
    return Response(content, status, {"cache-control": "no-cache", **(headers or {})}, media_type)


def _failed(request: Request, error: ApiError) -> Response:
    if error.status >= 500:
        log.warning("%s %s: %s", request.method, request.url.path, error.reason)
    return _json(error.status, {"error": error.error, "reason": error.reason}, dict(error.headers))


def _challenge(request: Request) -> Response:
    """Nobody has said who asks. A page asks itself, and does not want the browser to."""
    headers = {} if CSRF_HEADER in request.headers else {"www-authenticate": 'Basic realm="RabbitMQ Management"'}
    return Response(status_code=401, headers=headers)
