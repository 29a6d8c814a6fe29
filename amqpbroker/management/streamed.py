"""JSON of answers, whole or in parts: a large answer is sent while it is made, at the pace of the client."""

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, MutableMapping
from typing import Any, final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from amqpbroker.management.failure import ApiError
from amqpbroker.row_slices import RowSlices

log = logging.getLogger(__name__)

#: Largest answer that is sent whole, with its length, as RabbitMQ sends all answers.
WHOLE_BYTES = 1024 * 1024

Parts = AsyncGenerator[bytes, None]


def encoded(value: Any) -> bytes:
    """Return the JSON of a value. Supports numbers of more than 64 bits and lone surrogates, which orjson refuses."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


async def answer(parts: Parts, check: Callable[[], object], headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer with the JSON in `parts`. Parts may raise errors until `WHOLE_BYTES` are exceeded.

    check(): called before each further part; raises an error if the sender is no longer authorised.
    """
    made: list[bytes] = []
    size = 0
    sent = {"cache-control": "no-cache", **(headers or {})}
    try:
        async for part in parts:
            check()
            made.append(part)
            size += len(part)
            if size > WHOLE_BYTES:
                return Streamed(made, parts, check, sent)
    except ApiError:
        await parts.aclose()
        raise
    return Response(b"".join(made), 200, sent, "application/json")


async def encoded_rows(objects: Iterable[Any], show: Callable[[Any], Any], slices: RowSlices) -> Parts:
    """Yield the JSON of the objects with commas between them."""
    separator = b""
    async for some in slices.of(objects):
        yield separator + encoded([show(each) for each in some])[1:-1]
        separator = b","


class ClosableResponse(Response, ABC):
    """An answer that has to be closed if it is not sent."""

    @abstractmethod
    async def close(self) -> None:
        """Close an answer that is not sent after all."""


@final
class Streamed(ClosableResponse):
    """An answer whose next part is made once the kernel has taken the earlier ones; stops if the client disconnects."""

    def __init__(self, made: list[bytes], rest: Parts, check: Callable[[], object], headers: Mapping[str, str]) -> None:
        super().__init__(None, 200, dict(headers), "application/json")
        del self.headers["content-length"]
        self._made = made
        self._rest = rest
        self._check = check

    async def close(self) -> None:
        await self._rest.aclose()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        client = Request(scope, receive)
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": b"".join(self._made), "more_body": True})
            self._made.clear()
            async for part in self._rest:
                self._check()
                await send({"type": "http.response.body", "body": part, "more_body": True})
                if await client.is_disconnected():
                    return
            await send({"type": "http.response.body", "body": b""})
        except ApiError as error:
            log.warning("an answer is broken off: %s", error.reason)  # the end is missing, so the client notices
        finally:
            await self._rest.aclose()
