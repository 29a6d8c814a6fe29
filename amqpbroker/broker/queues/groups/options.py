"""Arguments of queues with message groups.

`qpid.group_header_key` with `qpid.shared_msg_group` are the names of the argument for the header in Qpid.
"""

from typing import Any, Final, NamedTuple, final

from amqpbroker.broker.deduplication.options import DEDUPLICATION, is_on
from amqpbroker.broker.deduplication.options import Check as Check
from amqpbroker.broker.publishing.choices import choice, header_name
from amqpbroker.broker.publishing.publish_checks import MAX_EXPIRY_MS
from amqpbroker.broker.queues.last_value.options import KEY as LAST_VALUE_KEY
from amqpbroker.broker.queues.last_value.options import QPID_KEY as QPID_LAST_VALUE_KEY
from amqpbroker.wire.erlang import erlang_string
from amqpbroker.wire.values import INTEGER_KINDS, TYPE_NAMES, Field, Table

HEADER: Final = "x-group-header"
QPID_HEADER: Final = "qpid.group_header_key"
QPID_SHARED: Final = "qpid.shared_msg_group"
TYPE: Final = "x-group-type"
PREFETCH: Final = "x-group-prefetch"
ON_DEAD: Final = "x-group-on-dead"
VERSION_HEADER: Final = "x-group-version-header"
VERSION_TTL: Final = "x-group-version-ttl"

ORDERED: Final = "ordered"
FAIR: Final = "fair"
TYPES: Final = (ORDERED, FAIR)

SKIP: Final = "skip"
PARK: Final = "park"
FOLLOW: Final = "follow"
ON_DEAD_VALUES: Final = (SKIP, PARK, FOLLOW)

MAX_PREFETCH: Final = 65_535
#: Time for which the version of a group is remembered.
DEFAULT_VERSION_TTL_MS: Final = 86_400_000


@final
class Grouping(NamedTuple):
    """Message groups of a queue.

    header: name of the header that has the key; empty for the routing key. prefetch: number of unacknowledged
    messages of one group. fair: messages of one group may be processed at the same time, and the group with the fewest
    unacknowledged messages comes first. on_dead: effect of a message that fails for good on its group: SKIP, PARK or
    FOLLOW. version_header: name of the header that has the version, empty for none. version_ttl_ms: time for which the
    last version of a group is remembered.
    """

    header: bytes
    prefetch: int = 1
    fair: bool = False
    on_dead: str = SKIP
    version_header: bytes = b""
    version_ttl_ms: int = DEFAULT_VERSION_TTL_MS


#: Names of the values that `grouping` expects, other than the header.
SETTINGS: Final = ("group_type", "group_prefetch", "group_on_dead", "group_version_header", "group_version_ttl_ms")


def grouping(arguments: Table, values: dict[str, Any]) -> Grouping | None:
    """Return the groups of a queue with these (valid) arguments; None if it has none.

    values: of arguments and policies together, named as in SETTINGS. A queue of the type FAIR has no options about
    order, wherever these come from. It keeps its versions, which a policy may make it forget otherwise.
    """
    header = arguments.get(HEADER, arguments.get(QPID_HEADER))
    if header is None or header.kind != "S":
        return None
    version_header = values.get("group_version_header", b"")
    version_ttl_ms = values.get("group_version_ttl_ms", DEFAULT_VERSION_TTL_MS)
    if values.get("group_type") == FAIR:
        return Grouping(header.value, fair=True, version_header=version_header, version_ttl_ms=version_ttl_ms)
    return Grouping(
        header.value,
        min(max(1, values.get("group_prefetch", 1)), MAX_PREFETCH),
        on_dead=values.get("group_on_dead", SKIP),
        version_header=version_header,
        version_ttl_ms=version_ttl_ms,
    )


# --- checks -----------------------------------------------------------------------------------------------------------


def _header(field: Field, arguments: Table) -> str | None:
    # The empty name stands for the routing key.
    problem = None if field.kind == "S" and not field.value else header_name(field, arguments)
    if problem is not None:
        return problem
    if HEADER in arguments and QPID_HEADER in arguments:
        return erlang_string(f"{HEADER} and {QPID_HEADER} are the same: leave out one of them")
    if "x-max-priority" in arguments:
        return erlang_string(
            "groups keep their order, which priorities would change: leave out x-max-priority, or use a queue each"
        )
    if LAST_VALUE_KEY in arguments or QPID_LAST_VALUE_KEY in arguments:
        return erlang_string(f"a queue has groups or replaces messages: leave out {LAST_VALUE_KEY} or this")
    if is_on(arguments):
        return erlang_string(
            f"a queue has groups or drops duplicates: leave out {DEDUPLICATION}, or set it for the exchange"
        )
    return None


def _qpid_header(field: Field, arguments: Table) -> str | None:
    problem = _header(field, arguments)
    if problem is None and QPID_SHARED not in arguments:
        return erlang_string(
            f"groups are never assigned to a consumer for good: add {QPID_SHARED} = '1', or use {HEADER}"
        )
    return problem


def _qpid_shared(field: Field, arguments: Table) -> str | None:
    if QPID_HEADER not in arguments:
        return erlang_string(f"has no effect without {QPID_HEADER}, the name of the header that has the key")
    if (field.kind == "S" and field.value == b"1") or (field.kind in INTEGER_KINDS and field.value == 1):
        return None
    return erlang_string(f"expected '1': other groups of Qpid are not supported; use {HEADER}")


def _without_header(arguments: Table) -> str | None:
    if HEADER in arguments or QPID_HEADER in arguments:
        return None
    return erlang_string(f"has no effect without {HEADER}, the name of the header that has the key")


def _has(arguments: Table, name: str, value: str) -> bool:
    field = arguments.get(name)
    return field is not None and field.kind == "S" and field.value == value.encode()


_one_type = choice(*TYPES)
_one_on_dead = choice(*ON_DEAD_VALUES)


def _type(field: Field, arguments: Table) -> str | None:
    return _one_type(field, arguments) or _without_header(arguments)


def _prefetch(field: Field, arguments: Table) -> str | None:
    if field.kind not in INTEGER_KINDS:
        return erlang_string(f"expected integer, got {TYPE_NAMES[field.kind]}")
    if not 0 < field.value <= MAX_PREFETCH:
        return erlang_string(f"expected 1 to {MAX_PREFETCH}, got {field.value}")
    if _has(arguments, TYPE, FAIR):
        return erlang_string(f"{TYPE} = '{FAIR}' does not limit the messages of a group: leave out one of them")
    return _without_header(arguments)


def _on_dead(field: Field, arguments: Table) -> str | None:
    problem = _one_on_dead(field, arguments) or _without_header(arguments)
    if problem is not None or field.value == SKIP.encode():
        return problem
    if _has(arguments, TYPE, FAIR):
        return erlang_string(f"{TYPE} = '{FAIR}' has no order to keep: leave out one of them")
    limited = "x-max-length" in arguments or "x-max-length-bytes" in arguments
    if limited and not _has(arguments, "x-overflow", "reject-publish"):
        return erlang_string(
            "a length limit that drops messages would tear gaps into groups: add x-overflow = 'reject-publish'"
        )
    return None


def _version_header(field: Field, arguments: Table) -> str | None:
    problem = header_name(field, arguments)
    if problem is not None:
        return problem
    if _has(arguments, TYPE, FAIR):
        return erlang_string(f"{TYPE} = '{FAIR}' has no order to keep: leave out one of them")
    return _without_header(arguments)


def _version_ttl(field: Field, arguments: Table) -> str | None:
    if field.kind not in INTEGER_KINDS or not 0 < field.value <= MAX_EXPIRY_MS:
        return erlang_string(f"expected an integer from 1 to {MAX_EXPIRY_MS} (milliseconds)")
    if VERSION_HEADER not in arguments:
        return erlang_string(f"has no effect without {VERSION_HEADER}, the name of the header that has the version")
    return None


CHECKS: Final[dict[str, Check]] = {
    VERSION_HEADER: _version_header,
    VERSION_TTL: _version_ttl,
    HEADER: _header,
    QPID_HEADER: _qpid_header,
    QPID_SHARED: _qpid_shared,
    TYPE: _type,
    PREFETCH: _prefetch,
    ON_DEAD: _on_dead,
}
