"""Kinds of faults by name, for the HTTP API."""

from collections.abc import Mapping
from typing import Any

from amqpbroker.testing.checks import check_text
from amqpbroker.testing.faults.block import Block
from amqpbroker.testing.faults.chance import Chance
from amqpbroker.testing.faults.cut import Drop, Reset
from amqpbroker.testing.faults.duplicate import Duplicate
from amqpbroker.testing.faults.fault import Fault, Only
from amqpbroker.testing.faults.locks import ExpireLock
from amqpbroker.testing.faults.publishing import DelayConfirms, Nack, WithholdConfirms
from amqpbroker.testing.faults.refuse import RefuseDeclare
from amqpbroker.testing.faults.restart import Restart
from amqpbroker.testing.faults.slow import OneByteWrites, StopReading, StopWriting
from amqpbroker.testing.hints import choices

KINDS: dict[str, type[Fault]] = {
    kind.kind: kind
    for kind in (
        Reset,
        Drop,
        Restart,
        StopReading,
        StopWriting,
        OneByteWrites,
        Nack,
        WithholdConfirms,
        DelayConfirms,
        Duplicate,
        ExpireLock,
        RefuseDeclare,
        Block,
        Chance,
    )
}


def make(kind: Any, arguments: Mapping[str, Any], only: Any) -> Fault:
    """Return a new fault. Raises ValueError, whose text says which kinds, arguments and values are accepted."""
    made = KINDS.get(kind) if isinstance(kind, str) else None
    if made is None:
        raise ValueError(f"kind = {kind!r}: there is no such fault{choices(kind, KINDS)}")
    if not isinstance(only, dict):
        raise ValueError(  # noqa: TRY004
            f"only = {only!r}: this must be an object with names for some of {', '.join(Only._fields)}"
        )
    for what, names, given in ((kind, made.names(), arguments), ("only", list(Only._fields), only)):
        for name in given:
            if name not in names:
                raise ValueError(f"{what} has no argument {name!r}{choices(name, names)}")
    for name, value in only.items():
        check_text(f"only.{name}", value)
    try:
        return made(only=Only(**only), **arguments)
    except TypeError as error:  # a list, say, where there should be a number
        raise ValueError(f"{kind}: an argument has a value of the wrong type: {error}") from None
