"""The ASGI application of the metrics. It has no authentication and serves nothing else."""

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from amqpbroker.metrics.exposition import chosen
from amqpbroker.metrics.page import DETAILED, MEMORY_BREAKDOWN, METRICS, PER_OBJECT, Page

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker
    from amqpbroker.broker.node import Node

NOT_FOUND = b'{"error":"Object Not Found","reason":"Not Found"}'


def build_app(broker: "Broker", node: "Node") -> Starlette:
    """Return the application, under prometheus.path."""
    config = broker.config.prometheus
    path = config.path.rstrip("/")
    default = PER_OBJECT if config.return_per_object_metrics else METRICS
    pages = {"": default, **{name: name for name in (PER_OBJECT, DETAILED, MEMORY_BREAKDOWN)}}

    async def answer(request: Request) -> Response:
        name = pages.get(request.path_params.get("registry", ""))
        if name is None:
            return _plain(404, b"Unknown Registry")
        style = chosen(request.headers.get("accept", ""))
        if style is None:
            return Response(status_code=406)
        headers = {"content-type": style.content_type, "cache-control": "no-cache"}
        if request.method == "HEAD":
            return Response(headers=headers)
        query = request.query_params
        page = Page(name, query.getlist("family"), query.getlist("vhost"))
        return StreamingResponse(page.text(broker, node, style), headers=headers)

    async def missing(_: Request, __: Exception) -> Response:
        return Response(NOT_FOUND, 404, media_type="application/json")

    paths = (path or "/", f"{path}/", f"{path}/{{registry}}", f"{path}/{{registry}}/")
    routes = [Route(each, answer, methods=["GET"]) for each in dict.fromkeys(paths)]
    app = Starlette(routes=routes, exception_handlers={404: missing})
    app.router.redirect_slashes = False
    return app


def _plain(status: int, text: bytes) -> Response:
    return Response(text, status, {"content-type": "text/plain"})
