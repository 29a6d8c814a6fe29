"""Bodies of requests: how large one may be, and how much all of them may take together."""

import asyncio
from collections.abc import Callable
from typing import final

from starlette.requests import Request

from amqpbroker.management import failure

#: The largest body of a request. Definitions of a large broker are the largest there are.
MAX_BODY_BYTES = 20_000_000

#: The same for one who has not said who it is: a name and a password.
MAX_LOGIN_BYTES = 10_000

#: A larger body is only read once it is known that its sender may do what it asks for. Smaller ones, of which there are
#: as many as connections, count for nothing in the total.
SMALL_BYTES = 64 * 1024

#: The most that larger bodies may take together, from their first byte until they have been worked on.
MAX_TOTAL_BYTES = 64 * 1024 * 1024

#: How long a body may take to come.
BODY_S = 60.0


@final
class Bodies:
    """What all requests together hold of their bodies."""

    def __init__(self) -> None:
        self.total_bytes = 0

    def one(self) -> "Body":
        return Body(self)


@final
class Body:
    """The body of one request; it counts until the end of the `with`."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._counted = 0

    def __enter__(self) -> "Body":
        return self

    def __exit__(self, *raised: object) -> None:
        self._count(0)

    async def read(self, request: Request, most: int, check: Callable[[], object]) -> bytes:
        """check(): raises what a request whose sender may not do it is refused with; asked before a large body is read.

        Raises ApiError 400 if it is too large, 408 if it does not come, 503 if too much is coming.
        """
        if not most:
            return b""
        try:
            announced = int(request.headers.get("content-length", 0))
        except ValueError:
            announced = 0
        data = bytearray()
        checked = False
        try:
            async with asyncio.timeout(BODY_S):
                self._admit(announced, most)
                if announced > SMALL_BYTES:
                    check()
                    checked = True
                async for part in request.stream():
                    size = len(data) + len(part)
                    self._admit(size, most)
                    if size > SMALL_BYTES:
                        if not checked:
                            check()
                            checked = True
                        self._count(size)
                    data += part
        except TimeoutError:
            raise failure.slow_body() from None
        return bytes(data)

    def _admit(self, size: int, most: int) -> None:
        if size > most:
            raise failure.bad_request(f"Exceeded HTTP request body size limit of {most} bytes")

    def _count(self, size: int) -> None:
        total = self._bodies.total_bytes - self._counted + size
        if size and total > MAX_TOTAL_BYTES:
            raise failure.bodies_full(MAX_TOTAL_BYTES)
        self._bodies.total_bytes = total
        self._counted = size
