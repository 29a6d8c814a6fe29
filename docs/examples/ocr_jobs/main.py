"""Start the OCR service with jobs and a worker, and act as a client: send an image, and wait for its text."""

import asyncio
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pika
import uvicorn

sys.path.insert(0, str(Path(__file__).parent))

from service import app

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")

# The worker of the service without jobs: workers need no changes.
WORKER = Path(__file__).parents[1] / "ocr_service" / "worker.py"


def request(url, body=None):
    """Return the status, the headers and the JSON of the response."""
    with urllib.request.urlopen(urllib.request.Request(url, data=body)) as response:
        return response.status, response.headers, json.load(response)


def client(base):
    status, headers, _ = request(f"{base}/documents", b"##Hello World!##")
    document = base + headers["Location"]
    print(f"sent: {status}")
    print(f"no worker yet: {request(document)[2]['status']}")

    command = [sys.executable, str(WORKER)]
    with subprocess.Popen(command, env=os.environ | {"AMQP_URL": URL}, stdout=subprocess.PIPE, text=True) as worker:
        print(f"worker: {worker.stdout.readline().strip()}")
        answer = request(f"{document}?wait=20")[2]  # answered when the text is available
        print(f"later: {answer['status']}, '{answer['text']}'")
        worker.kill()


async def main():
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        await asyncio.to_thread(client, f"http://127.0.0.1:{port}")
    finally:
        server.should_exit = True
        await serving

    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        connection.channel().queue_delete("ocr.images")


if __name__ == "__main__":
    asyncio.run(main())
