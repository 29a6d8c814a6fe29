"""Changes of a message by a shovel: properties, and headers that record its path (rabbit_shovel_util.erl)."""

from collections.abc import Callable, Mapping
from typing import final

from amqpbroker.broker.shovels.definition import Destination, Source
from amqpbroker.wire.headers import normalised, with_headers
from amqpbroker.wire.properties import decode_properties, encode_properties
from amqpbroker.wire.values import Field, Table, longstr

FORWARD_HEADER = "x-shovelled"
TIMESTAMP_HEADER = "x-shovelled-timestamp"


@final
class Changes:
    """Changes the encoded properties, so that everything else stays as the publisher wrote it.

    now_ms: the time since the Unix epoch.
    """

    def __init__(
        self, properties: Mapping[str, str | int], way: Table | None, now_ms: Callable[[], int] | None
    ) -> None:
        self._properties = {
            name: value.encode() if isinstance(value, str) else value for name, value in properties.items()
        }
        self._way = way
        self._now_ms = now_ms
        self._none = not properties and way is None and now_ms is None

    def made(self, properties: bytes) -> bytes:
        """Return the changed properties. Raises MalformedError if they cannot be read."""
        if self._none:
            return properties
        if self._properties:
            properties = encode_properties({**decode_properties(properties), **self._properties})
        headers: Table = {}
        properties = normalised(properties)
        if self._way is not None:
            headers = _prepended(decode_properties(properties).get("headers", {}), Field("F", self._way))
        if self._now_ms is not None:
            headers[TIMESTAMP_HEADER] = Field("l", self._now_ms() // 1000)
        return with_headers(properties, headers) if headers else properties


def _prepended(headers: Table, entry: Field) -> Table:
    """Insert an entry at the start of x-shovelled (rabbit_basic:prepend_table_header/3)."""
    before = headers.get(FORWARD_HEADER)
    if before is None:
        return {FORWARD_HEADER: Field("A", [entry])}
    if before.kind == "A":
        return {FORWARD_HEADER: Field("A", [entry, *before.value])}
    return {
        FORWARD_HEADER: Field("A", [entry]),
        "x-invalid-headers": Field("F", {FORWARD_HEADER: Field("A", [before])}),
    }


def way(
    cluster: str, vhost: str, name: str, source: Source, destination: Destination, from_uri: str, to_uri: str
) -> Table:
    """Return one entry of the header x-shovelled. from_uri, to_uri: without credentials."""
    entries: dict[str, str | None] = {
        "shovelled-by": cluster,
        "shovel-type": "dynamic",
        "shovel-name": name,
        "shovel-vhost": vhost,
        "src-uri": from_uri,
        "dest-uri": to_uri,
    }
    if source.queue is None:
        entries |= {"src-exchange": source.exchange, "src-exchange-key": source.exchange_key}
    else:
        entries["src-queue"] = source.queue
    entries |= {
        "dest-exchange": destination.exchange,
        "dest-exchange-key": destination.exchange_key,
        "dest-queue": destination.queue,
    }
    return {key: longstr(value) for key, value in entries.items() if value is not None}
