"""Clients of an application that connect when the broker is running, and try every 50 ms until then.

Publishers publish persistent messages, one at a time, and wait for each confirm. Consumers have a prefetch of 100, and
work for some milliseconds on each message. All publishers are one process, and all consumers are another one.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from tests.bench.application import messages
from tests.bench.clients import COUNT, END, READY, Cells, login_steps
from tests.bench.deliveries import REACH, acknowledge, consumer_tag, newest
from tests.harness import published
from tests.load.client import allow_open_files, request

RETRY_S = 0.05
#: Pause of a publisher after each confirm, and of a consumer for each message.
PAUSE_S = 0.02
WORK_S = 0.005
PREFETCH = 100
LOOK_EVERY_S = 0.05
#: Different messages of each publisher.
DIFFERENT = 16
CONFIRM_BYTES = 21

#: The work of one client, by its number, after it is logged in.
Work = Callable[[int, asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


def publish_again(port: int, cells: Cells, logged_in_ns: Cells, queues: tuple[str, ...], samples: Cells) -> None:
    """Publish with as many clients as `logged_in_ns` has cells for.

    logged_in_ns: time when each client had its channel, 0 before. samples: for each message the time of its publish and
    the duration until its confirm, one after the other, in nanoseconds.
    """
    clients = len(logged_in_ns)
    kept: list[list[bytes]] = []
    for number in range(clients):
        queue = queues[number % len(queues)]
        kept.append(
            [
                published(queue, body, **properties, delivery_mode=2)
                for properties, body in messages(DIFFERENT, seed=number)
            ]
        )

    async def work(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader, writer, request("confirm.select"))
        count = 0
        while True:
            start_ns = time.monotonic_ns()
            writer.write(kept[number][count % DIFFERENT])
            await reader.readexactly(CONFIRM_BYTES)
            _note(cells, samples, start_ns)
            count += 1
            await asyncio.sleep(PAUSE_S)

    _run(port, cells, logged_in_ns, work)


def consume_again(port: int, cells: Cells, logged_in_ns: Cells, queues: tuple[str, ...], received_ns: Cells) -> None:
    """Consume with as many clients as `logged_in_ns` has cells for, which divide the queues among them.

    received_ns: time when each client received its first message, 0 before.
    """
    clients = len(logged_in_ns)

    async def work(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader, writer, request("basic.qos", prefetch_count=PREFETCH))
        for place, queue in enumerate(queues[number::clients]):
            writer.write(request("basic.consume", queue=queue, consumer_tag=consumer_tag(place)))
        acknowledged = 0
        data = b""
        while True:
            received = await reader.read(1 << 16)
            if not received:
                raise EOFError
            data = data[1 - REACH :] + received
            tag = newest(data, len(data))
            if tag > acknowledged:
                if not received_ns[number]:
                    received_ns[number] = time.monotonic_ns()
                cells[COUNT] += tag - acknowledged
                await asyncio.sleep(WORK_S * (tag - acknowledged))
                writer.write(acknowledge(tag))
                acknowledged = tag

    _run(port, cells, logged_in_ns, work)


def _note(cells: Cells, samples: Cells, start_ns: int) -> None:
    at = cells[COUNT] * 2
    if at < len(samples):
        samples[at] = start_ns
        samples[at + 1] = time.monotonic_ns() - start_ns
        cells[COUNT] += 1


def _run(port: int, cells: Cells, logged_in_ns: Cells, work: Work) -> None:
    allow_open_files(len(logged_in_ns) + 100)
    uvloop.run(_until_the_end(port, cells, logged_in_ns, work))


async def _until_the_end(port: int, cells: Cells, logged_in_ns: Cells, work: Work) -> None:
    running = [
        asyncio.create_task(_connect_and(port, number, logged_in_ns, work)) for number in range(len(logged_in_ns))
    ]
    while not cells[END]:
        await asyncio.sleep(LOOK_EVERY_S)
        cells[READY] = 1
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def _connect_and(port: int, number: int, logged_in_ns: Cells, work: Work) -> None:
    """Connect and work, repeatedly."""
    steps = login_steps()
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(RETRY_S)
            continue
        try:
            for step in steps:
                await _request(reader, writer, step)
            if not logged_in_ns[number]:
                logged_in_ns[number] = time.monotonic_ns()
            await work(number, reader, writer)
        except (OSError, EOFError):
            await asyncio.sleep(RETRY_S)
        finally:
            writer.close()


async def _request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send a request, and wait for the frame that answers it."""
    writer.write(data)
    head = await reader.readexactly(7)
    await reader.readexactly(int.from_bytes(head[3:], "big") + 1)
