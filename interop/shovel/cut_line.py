"""A line between two brokers that is cut at random, by a seed."""

import asyncio
import contextlib
import random
import threading


class CutLine:
    """Forwards connections to 127.0.0.1:`target` until it cuts them: in the middle of whatever they say, each after a
    random number of bytes. For a while after a cut nobody answers. Use it in a `with`.

    cuts: how many there were. whole: set it to have connections last.
    """

    def __init__(self, target, seed, after_bytes=(2_000, 80_000)):
        self.target = target
        self.port = 0
        self.cuts = 0
        self.whole = False
        self._chance = random.Random(seed)
        self._after_bytes = after_bytes
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._down_until = 0.0
        self._writers = set()
        self._closing = False

    def __enter__(self):
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._connected, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_):
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    async def _close(self):
        self._closing = True
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.01)  # sockets are closed in the turn after

    async def _connected(self, reader, writer):
        if self._closing or self._loop.time() < self._down_until:
            writer.transport.abort()
            return
        ends = [writer]
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
            ends.append(far_writer)
            self._writers.add(far_writer)
            left = [self._chance.randint(*self._after_bytes)]
            pumps = [self._pump(reader, far_writer, left), self._pump(far_reader, writer, left)]
            _, pending = await asyncio.wait(map(asyncio.ensure_future, pumps), return_when=asyncio.FIRST_COMPLETED)
            for pump in pending:
                pump.cancel()
        except OSError:
            pass  # the broker is not there at present
        finally:
            for end in ends:
                self._writers.discard(end)
                end.transport.abort()

    async def _pump(self, reader, writer, left):
        with contextlib.suppress(OSError):
            while data := await reader.read(self._chance.choice((1, 100, 5_000, 60_000))):
                if not self.whole and len(data) >= left[0]:
                    writer.write(data[: left[0]])
                    await asyncio.sleep(0)
                    self.cuts += 1
                    self._down_until = self._loop.time() + self._chance.uniform(0, 0.05)
                    return
                left[0] -= len(data)
                writer.write(data)
                await writer.drain()
