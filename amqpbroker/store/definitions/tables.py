"""Definitions as rows of tables: names of the tables, and conversions of the fields."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from amqpbroker.store.definitions.definitions import (
    BindingDefinition,
    D,
    Definition,
    ExchangeDefinition,
    GlobalParameterDefinition,
    ParameterDefinition,
    PermissionDefinition,
    QueueDefinition,
    StreamOffsetDefinition,
    TopicPermissionDefinition,
    UserDefinition,
    VhostDefinition,
)

#: Kind -> its table.
TABLES: Final[dict[type[Any], str]] = {
    VhostDefinition: "vhost",
    UserDefinition: "user",
    PermissionDefinition: "permission",
    TopicPermissionDefinition: "topic_permission",
    ParameterDefinition: "parameter",
    GlobalParameterDefinition: "global_parameter",
    ExchangeDefinition: "exchange",
    QueueDefinition: "queue",
    BindingDefinition: "binding",
    StreamOffsetDefinition: "stream_offset",
}

#: Functions that convert a value for a database and back.
Codec = tuple[Callable[[Any], Any], Callable[[Any], Any]]


def _json(value: Any) -> str:
    return json.dumps(value)


#: Type of a field -> its codec, in every database; other types are stored unchanged.
CODECS: Final[dict[Any, Codec]] = {
    tuple[str, ...]: (_json, lambda text: tuple(json.loads(text))),
    Mapping[str, int]: (_json, json.loads),
    Any: (_json, json.loads),
}


def encoded(definition: Definition, codecs: Mapping[Any, Codec]) -> tuple[Any, ...]:
    """Return the row of a definition."""
    return tuple(
        codecs[kept][0](value) if kept in codecs else value
        for kept, value in zip(type(definition).__annotations__.values(), definition, strict=True)
    )


def decoded(kind: type[D], row: tuple[Any, ...], codecs: Mapping[Any, Codec]) -> D:
    """Return the definition of a row. Raises ValueError."""
    values = [
        codecs[wanted][1](value) if wanted in codecs else value
        for wanted, value in zip(kind.__annotations__.values(), row, strict=True)
    ]
    return kind(*values)
