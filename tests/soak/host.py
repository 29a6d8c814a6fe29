"""The broker of a soak: `amqpbroker serve` with more HTTP resources.

`GET /api/soak` returns the census of the broker. For the others see `levers`.

usage: python -m tests.soak.host DIRECTORY DIVISOR COMPAT CERTFILE KEYFILE

The bounds of `config/bounds.py` are divided by DIVISOR. The broker behaves like RabbitMQ COMPAT.
"""

import asyncio
import ctypes
import gc
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amqpbroker.clock import SystemClock
from amqpbroker.compat import COMPATS
from amqpbroker.config import Config, Listener, Management, Prometheus
from amqpbroker.config.config import Log
from amqpbroker.config.tls import Tls
from amqpbroker.management.call import Call
from amqpbroker.management.identity import Access
from amqpbroker.management.resource import Resource
from amqpbroker.server import app, ready_file
from amqpbroker.server.allocator import trim
from amqpbroker.server.data import Data
from amqpbroker.server.log import set_up
from tests.soak.census import census
from tests.soak.levers import Levers
from tests.soak.rest import BLOCKS, FILES, HEAP, TASKS, THREADS, TIMERS, handshake_ms, lowered


def heap_bytes() -> int:
    """Return the number of used bytes of the C library's heap; 0 without glibc."""
    try:
        call = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError):
        return 0

    class Info(ctypes.Structure):
        _fields_ = [("values", ctypes.c_size_t * 10)]

    call.restype = Info
    fields = call().values
    mapped, used = fields[4], fields[7]  # hblkhd, uordblks
    return int(mapped + used)


def make(config: Config, loop: asyncio.AbstractEventLoop, kept: Data, settings: Mapping[str, str]) -> app.Server:
    """Return a server whose state can be inspected."""
    clock = SystemClock()
    server = app.Server(config, clock, loop, kept, settings)
    levers = Levers(server, int(sys.argv[2]))

    def inspect(call: Call) -> Any:
        # Garbage and freed memory that the broker would release a little later are not leaks.
        gc.collect()
        trim()
        return census(server) | {
            BLOCKS: sys.getallocatedblocks(),
            HEAP: heap_bytes(),
            FILES: len(os.listdir("/proc/self/fd")),
            THREADS: threading.active_count(),
            TASKS: len(asyncio.all_tasks(loop)),
            TIMERS: sum(timer.callback is not None for _, _, timer in clock._heap),
        }

    server.more_resources = lambda: [Resource("/soak", Access.ADMIN, get=inspect), *levers.resources()]
    return server


def main() -> None:
    directory, divisor = Path(sys.argv[1]), int(sys.argv[2])
    tls = Tls(certfile=sys.argv[4], keyfile=sys.argv[5])
    config = Config(
        listeners=(Listener("127.0.0.1", 0),),
        tls_listeners=(Listener("127.0.0.1", 0),),
        tls=tls,
        ssl_handshake_timeout_ms=handshake_ms(divisor),
        management=Management(port=0, tls_port=0, tls=tls, trusted_proxies=("127.0.0.1",)),
        prometheus=Prometheus(port=0),
        # Histories of deleted objects are discarded with the next samples, for which each phase waits.
        collect_statistics_interval_ms=250,
        data_dir=str(directory / "data"),
        # One user drives the bounds that users share.
        user_share=1,
        bounds=lowered(divisor),
        compat=COMPATS[sys.argv[3]],
    )
    set_up(Log())
    raise SystemExit(app.run(config, lambda listening: ready_file.write(directory / "ready.json", listening), {}, make))


if __name__ == "__main__":
    main()
