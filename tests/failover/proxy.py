"""A TCP proxy on loopback that cuts connections, in both directions or in one, and delays what it passes on."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

from tests.postgresql import free_port

CHUNK_BYTES = 65536
#: Iterations of the event loop in which all connections that were ended are closed.
TURNS = 4


class Proxy:
    """Passes connections on to a port of 127.0.0.1.

    answers, requests: whether bytes from the server and to it are passed on; otherwise they vanish, and the connection
    stays. delay_s: of each part of the bytes.
    """

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.answers = True
        self.requests = True
        self.delay_s = 0.0
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def cut(self) -> None:
        """End all connections, and pass nothing on until `heal`."""
        self.answers = self.requests = False
        self._loop.call_soon_threadsafe(self._end_all)

    def heal(self) -> None:
        """Pass everything on. Connections from which bytes are missing end."""
        if not (self.answers and self.requests):
            self._loop.call_soon_threadsafe(self._end_all)
        self.answers = self.requests = True
        self.delay_s = 0.0

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _end_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._connected, "127.0.0.1", self.port))
        self._ready.set()
        self._loop.run_forever()
        server.close()
        # A connection that was ended before its task began is an error for asyncio's streams.
        self._loop.set_exception_handler(lambda loop, context: None)
        while tasks := asyncio.all_tasks(self._loop):
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._end_all()
        for _ in range(TURNS):
            self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, behind = await asyncio.open_connection("127.0.0.1", self._target)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
            return
        ends = {writer, behind}
        self._writers |= ends
        try:
            await asyncio.gather(
                self._pass(reader, behind, lambda: self.requests), self._pass(there, writer, lambda: self.answers)
            )
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._writers -= ends
            for end in ends:
                end.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_open: Callable[[], bool]
    ) -> None:
        while data := await reader.read(CHUNK_BYTES):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            if is_open():
                writer.write(data)
                await writer.drain()
        with suppress(OSError):
            writer.write_eof()
