"""HTTP front end of the OCR service: accepts images, responds at once, and returns the text when it is available.

    POST /documents         202, Location: /documents/7f3a
    GET  /documents/7f3a    {"status": "waiting"}, later {"status": "done", "text": "..."}

Reading an image takes longer than a client wants to wait, so the request only adds it to a queue. The workers process
one image at a time, however many arrive at once; more workers empty the queue faster.

usage: service.py [PORT]
"""

import asyncio
import contextlib
import os
import secrets
import sys

import aio_pika
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")

MAX_WAITING = 1000


class Documents:
    """Status of each document, in a dictionary; a real service would use a database."""

    def __init__(self):
        self.texts = {}

    def accept(self):
        name = secrets.token_hex(8)
        self.texts[name] = None
        return name

    def forget(self, name):
        del self.texts[name]

    async def collect(self, results):
        """Receive the workers' results, forever."""
        async with results.iterator() as messages:
            async for message in messages:
                async with message.process():
                    self.texts[message.correlation_id] = message.body.decode()


async def post(request):
    documents, images = request.app.state.documents, request.app.state.images
    name = documents.accept()
    message = aio_pika.Message(
        await request.body(),
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        correlation_id=name,
        reply_to="ocr.results",
    )
    try:
        await images.publish(message, routing_key="ocr.images")  # 202 only after the confirm
    except aio_pika.exceptions.DeliveryError:
        documents.forget(name)
        return JSONResponse({"error": "too many wait already"}, status_code=503, headers={"Retry-After": "60"})
    return JSONResponse({"status": "waiting"}, status_code=202, headers={"Location": f"/documents/{name}"})


async def get(request):
    texts, name = request.app.state.documents.texts, request.path_params["name"]
    if name not in texts:
        return JSONResponse({"error": "no such document"}, status_code=404)
    if texts[name] is None:
        return JSONResponse({"status": "waiting"})
    return JSONResponse({"status": "done", "text": texts[name]})


@contextlib.asynccontextmanager
async def connected(app):
    async with await aio_pika.connect_robust(URL) as connection:
        channel = await connection.channel()
        limits = {"x-max-length": MAX_WAITING, "x-overflow": "reject-publish"}
        await channel.declare_queue("ocr.images", durable=True, arguments=limits)
        results = await channel.declare_queue("ocr.results", durable=True)
        app.state.images = channel.default_exchange
        app.state.documents = Documents()
        collecting = asyncio.create_task(app.state.documents.collect(results))
        yield
        collecting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await collecting  # cancels its consumer, for which it needs the connection


app = Starlette(
    routes=[Route("/documents", post, methods=["POST"]), Route("/documents/{name}", get)], lifespan=connected
)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
