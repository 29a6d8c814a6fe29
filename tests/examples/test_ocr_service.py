"""The OCR service of docs/examples, on its own."""

import asyncio
import importlib.util
from pathlib import Path

from starlette.applications import Starlette

from amqpbroker.testing import Broker

SERVICE = Path(__file__).parents[2] / "docs" / "examples" / "ocr_service" / "service.py"


async def test_ocr_service_keeps_its_connection_until_collecting_has_stopped(monkeypatch):
    ended_while_closed = []

    async def collect(documents, results):
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)  # as long as the broker may take to answer basic.cancel
            ended_while_closed.append(results.channel.is_closed)

    with Broker() as broker:
        monkeypatch.setenv("AMQP_URL", broker.url)
        spec = importlib.util.spec_from_file_location("ocr_service", SERVICE)
        service = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(service)
        monkeypatch.setattr(service.Documents, "collect", collect)
        async with service.connected(Starlette()):
            await asyncio.sleep(0)
    assert ended_while_closed == [False]
