"""The table of the brokers that answer each request, if several share the vhosts of a database."""

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from amqpbroker.cluster.requests.merged_answers import (
    merged_alarms,
    merged_exports,
    merged_node,
    merged_nodes,
    merged_overview,
    union,
)
from amqpbroker.cluster.requests.sub_requests import SubRequest, import_requests, vhost_requests

if TYPE_CHECKING:
    from amqpbroker.management.call import Call


class AnsweredBy(enum.Enum):
    """Brokers that answer a request.

    HERE: the broker that gets it. VHOST: the one that serves the vhost of the path. WRITER: the one that writes the
    definitions of all vhosts, which all others know. ALL: each for its own part. HOLDER: any that has the object.
    """

    HERE = "here"
    VHOST = "vhost"
    WRITER = "writer"
    ALL = "all"
    HOLDER = "holder"


class Row(NamedTuple):
    """Brokers that answer the requests of one path."""

    #: Brokers that answer a request that only reads. None: VHOST for a path with a vhost, else HERE.
    read: AnsweredBy | None = None
    #: Brokers that answer a request that changes something. None: VHOST for a path with a vhost, else WRITER.
    changed: AnsweredBy | None = None
    #: Merges the answer of this broker and those of others for ALL, unless it is a `Listing`.
    merged: Callable[[Any, list[Any]], Any] | None = None
    #: The answer of ALL is an error if a part of it is missing.
    complete: bool = False
    #: Divides a PUT or POST that several brokers have to make, in the order of its parts; empty if one is enough.
    divided: Callable[["Call"], list[SubRequest]] | None = None


HERE, VHOST, WRITER, ALL, HOLDER = AnsweredBy

#: Most requests: those of paths that ROWS does not have.
DEFAULT: Final = Row()

#: Path of a resource -> the brokers that answer.
ROWS: Final[dict[str, Row]] = {
    # what each broker knows of itself
    "/auth/attempts/{node}": Row(changed=HERE),
    "/auth/attempts/{node}/source": Row(changed=HERE),
    "/feature-flags/{name}/enable": Row(changed=HERE),
    "/health/checks/quorum-queues-without-elected-leaders/vhost/{vhost}": Row(read=HERE),
    "/health/checks/quorum-queues-without-elected-leaders/vhost/{vhost}/pattern/{pattern}": Row(read=HERE),
    "/leadership/rebalance": Row(changed=HERE),
    "/leadership/transfer": Row(changed=HERE),
    "/login": Row(changed=HERE),
    "/maintenance/drain": Row(changed=HERE),
    "/maintenance/revive": Row(changed=HERE),
    "/rebalance/queues": Row(changed=HERE),
    "/reset": Row(changed=HERE),
    "/reset/{node}": Row(changed=HERE),
    "/vhosts/{vhost}/start/{node}": Row(changed=HERE),
    # definitions, which every broker knows
    "/definitions/{vhost}": Row(changed=WRITER, divided=import_requests),
    "/operator-policies/{vhost}": Row(read=HERE),
    "/operator-policies/{vhost}/{name}": Row(read=HERE, changed=WRITER),
    "/parameters/{component}/{vhost}": Row(read=HERE),
    "/parameters/{component}/{vhost}/{name}": Row(read=HERE, changed=WRITER),
    "/permissions/{vhost}/{user}": Row(read=HERE, changed=WRITER),
    "/policies/{vhost}": Row(read=HERE),
    "/policies/{vhost}/{name}": Row(read=HERE, changed=WRITER),
    "/shovels/vhost/{vhost}/{name}": Row(read=HERE, changed=WRITER),
    "/topic-permissions/{vhost}/{user}": Row(read=HERE, changed=WRITER),
    "/topic-permissions/{vhost}/{user}/{exchange}": Row(read=HERE, changed=WRITER),
    "/vhost-limits/{vhost}": Row(read=HERE),
    "/vhost-limits/{vhost}/{name}": Row(changed=WRITER),
    "/vhosts/{vhost}": Row(changed=WRITER, divided=vhost_requests),
    "/vhosts/{vhost}/deletion/protection": Row(changed=WRITER),
    "/vhosts/{vhost}/permissions": Row(read=HERE),
    "/vhosts/{vhost}/topic-permissions": Row(read=HERE),
    # objects of which each broker has a part
    "/all-configuration": Row(read=ALL, merged=merged_exports, complete=True, divided=import_requests),
    "/batches": Row(read=ALL),
    "/bindings": Row(read=ALL),
    "/channels": Row(read=ALL),
    "/connections": Row(read=ALL),
    "/connections/username/{user}": Row(read=ALL, changed=ALL),
    "/consumers": Row(read=ALL),
    "/definitions": Row(read=ALL, merged=merged_exports, complete=True, divided=import_requests),
    "/deprecated-features/used": Row(read=ALL, merged=union),
    "/exchanges": Row(read=ALL),
    "/health/checks/alarms": Row(read=ALL, merged=merged_alarms),
    "/jobs": Row(read=ALL),
    "/nodes": Row(read=ALL, merged=merged_nodes),
    "/nodes/{node}": Row(read=ALL, merged=merged_node),
    "/overview": Row(read=ALL, merged=merged_overview),
    "/queues": Row(read=ALL),
    "/queues/detailed": Row(read=ALL),
    "/shovels": Row(read=ALL),
    "/vhosts": Row(read=ALL),
    # objects that one broker has
    "/channels/{name}": Row(read=HOLDER),
    "/channels/{name}/deliveries/{tag}/renew": Row(changed=HOLDER),
    "/connections/{name}": Row(read=HOLDER, changed=HOLDER),
    "/connections/{name}/channels": Row(read=HOLDER),
    "/nodes/{node}/memory": Row(read=HOLDER),
    "/nodes/{node}/memory/ets": Row(read=HOLDER),
    "/nodes/{node}/memory/ets/{filter}": Row(read=HOLDER),
    "/nodes/{node}/memory/relative": Row(read=HOLDER),
}


def answered_by(path: str, reading: bool) -> AnsweredBy:
    """Return the brokers that answer a request. path: of the resource. reading: the request changes nothing."""
    row = ROWS.get(path, DEFAULT)
    by = row.read if reading else row.changed
    if by is not None:
        return by
    if "{vhost}" in path:
        return VHOST
    return HERE if reading else WRITER
