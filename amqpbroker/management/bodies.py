"""Bodies of requests: limits of their size, alone and in total, and the fields of forms."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import final

from starlette.requests import Request

from amqpbroker.config.bounds import BOUNDS
from amqpbroker.management import failure
from amqpbroker.management.failure import ApiError

#: The largest body of a request without a login: a user name and a password.
MAX_LOGIN_BYTES = 10_000

#: A body above this size is read only after its sender is authorised. Smaller bodies, of which there is at most one a
#: connection, do not count in the total.
SMALL_BYTES = 64 * 1024

#: Time limit for receiving a body, and the time after which its request counts as one that waits.
BODY_S = 60.0
PROMPT_S = 1.0


@final
class Bodies:
    """Memory held by the bodies of all requests together. most_bytes: the limit for all large bodies."""

    def __init__(self, most_bytes: int = BOUNDS.bodies_bytes) -> None:
        self.most_bytes = most_bytes
        self.total_bytes = 0

    def one(self) -> "Body":
        return Body(self)


@final
class Body:
    """The body of one request; it counts in the total until the end of the `with`."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._counted = 0
        self._refusal: ApiError | None = None

    def __enter__(self) -> "Body":
        return self

    def __exit__(self, *raised: object) -> None:
        self._count(0)

    async def read(self, request: Request, most: int, check: Callable[[], object], wait: Callable[[], object]) -> bytes:
        """Read the body. check(): raises an error if the sender is not authorised; called before a large body is read.

        wait(): called if the body does not arrive within `PROMPT_S`; raises ApiError if too many requests wait.

        Raises ApiError 400 if the body is too large, 408 if it does not arrive in time, 503 if large bodies take too
        much memory in total, or too many requests wait.
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
            async with asyncio.timeout(BODY_S) as limit, self._waiting(limit, wait):
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
            raise (self._refusal or failure.slow_body()) from None
        return bytes(data)

    @asynccontextmanager
    async def _waiting(self, limit: asyncio.Timeout, wait: Callable[[], object]) -> AsyncGenerator[None]:
        """Call wait() after `PROMPT_S`; if it refuses, the time limit is over."""
        loop = asyncio.get_running_loop()

        def need() -> None:
            try:
                wait()
            except ApiError as error:
                self._refusal = error
                limit.reschedule(loop.time())

        timer = loop.call_later(PROMPT_S, need)
        try:
            yield
        finally:
            timer.cancel()

    def _admit(self, size: int, most: int) -> None:
        if size > most:
            raise failure.bad_request(f"Exceeded HTTP request body size limit of {most} bytes")

    def _count(self, size: int) -> None:
        total = self._bodies.total_bytes - self._counted + size
        if size and total > self._bodies.most_bytes:
            raise failure.bodies_full(self._bodies.most_bytes)
        self._bodies.total_bytes = total
        self._counted = size


def form_field(body: bytes, content_type: str, name: str) -> bytes:
    """Return the field with this name of a form with a file (RFC 7578). Raises ValueError if there is none."""
    boundary = re.search(r'boundary="?([^";,]+)', content_type)
    if boundary is not None:
        for part in (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode())[1:]:
            head, found, content = part.partition(b"\r\n\r\n")
            wanted = re.search(rb'content-disposition:[^\r\n]*[; ]name="?([^";\r\n]*)', head, re.IGNORECASE)
            if found and wanted is not None and wanted[1] == name.encode():
                return content
    raise ValueError(f"the form has no field {name}")
