"""The x-death header of a message, as a client reads it."""

from typing import Any, NamedTuple

from amqpbroker.wire.values import Field

#: Delivery limit of quorum queues whose messages die for other reasons, regardless of the number of returns.
MANY_RETURNS = Field("I", 10_000)


class Death(NamedTuple):
    """One entry of x-death. expiration: original-expiration, None without one."""

    queue: str
    reason: str
    count: int
    exchange: str
    routing_keys: tuple[str, ...]
    expiration: str | None


def deaths_of(properties: dict[str, Any] | None) -> list[Death]:
    """Return the entries of x-death, the most recent first; none without the header."""
    assert properties is not None
    headers = properties.get("headers", {})
    return [_death(table.value) for table in headers["x-death"].value] if "x-death" in headers else []


def _death(fields: dict[str, Any]) -> Death:
    expiration = fields.get("original-expiration")
    return Death(
        queue=fields["queue"].value.decode(),
        reason=fields["reason"].value.decode(),
        count=fields["count"].value,
        exchange=fields["exchange"].value.decode(),
        routing_keys=tuple(key.value.decode() for key in fields["routing-keys"].value),
        expiration=None if expiration is None else expiration.value.decode(),
    )
