"""HTTP front end of the OCR service without a database: each image is a job, and the broker knows its state.

    POST /documents                 202, Location: /documents/7f3a
    GET  /documents/7f3a?wait=20    {"status": "queued"}, later {"status": "done", "text": "..."}

The service keeps nothing, so any number of these can run beside each other, and a restart loses nothing. It uses only
the broker's HTTP API, at http://localhost:15672 or the address in MANAGEMENT_URL.

usage: service.py [PORT]
"""

import contextlib
import os
import sys
from base64 import b64encode

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

MANAGEMENT_URL = os.environ.get("MANAGEMENT_URL", "http://localhost:15672")

MAX_WAITING = 1000


async def post(request):
    payload = b64encode(await request.body()).decode()
    job = {"routing_key": "ocr.images", "payload": payload, "payload_encoding": "base64"}
    answer = await request.app.state.broker.post("jobs/%2F/amq.default", json=job)
    if answer.status_code == 503:  # the queue is full
        headers = {"Retry-After": answer.headers["Retry-After"]}
        return JSONResponse({"error": "too many wait already"}, status_code=503, headers=headers)
    name = answer.raise_for_status().json()["id"]
    return JSONResponse({"status": "queued"}, status_code=202, headers={"Location": f"/documents/{name}"})


async def get(request):
    path = f"jobs/%2F/{request.path_params['name']}"
    answer = await request.app.state.broker.get(path, params=request.query_params)
    if answer.status_code == 404:
        return JSONResponse({"error": "no such document"}, status_code=404)
    job = answer.raise_for_status().json()
    document = {"status": job["state"]}
    if job["state"] == "done":
        document["text"] = job["reply"]["payload"]
    elif job["state"] == "failed":
        document["reason"] = job["reason"]
    return JSONResponse(document)


@contextlib.asynccontextmanager
async def connected(app):
    url = f"{MANAGEMENT_URL}/api/"
    async with httpx.AsyncClient(base_url=url, auth=("guest", "guest"), timeout=30) as broker:
        limits = {"x-max-length": MAX_WAITING, "x-overflow": "reject-publish"}
        queue = {"durable": True, "arguments": limits}
        (await broker.put("queues/%2F/ocr.images", json=queue)).raise_for_status()
        app.state.broker = broker
        yield


app = Starlette(
    routes=[Route("/documents", post, methods=["POST"]), Route("/documents/{name}", get)], lifespan=connected
)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
