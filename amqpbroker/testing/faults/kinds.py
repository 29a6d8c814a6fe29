"""The kinds of faults by their names, for those who order them by a name."""

from collections.abc import Mapping
from typing import Any

from amqpbroker.testing.faults.block import Block
from amqpbroker.testing.faults.chance import Chance
from amqpbroker.testing.faults.cut import Drop, Reset
from amqpbroker.testing.faults.duplicate import Duplicate
from amqpbroker.testing.faults.fault import Fault, Only
from amqpbroker.testing.faults.publishing import DelayConfirms, Nack, WithholdConfirms
from amqpbroker.testing.faults.refuse import RefuseDeclare
from amqpbroker.testing.faults.restart import Restart
from amqpbroker.testing.faults.slow import OneByteWrites, StopReading, StopWriting

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
        RefuseDeclare,
        Block,
        Chance,
    )
}


def make(kind: Any, arguments: Mapping[str, Any], only: Any) -> Fault:
    """A fault of a kind. Raises ValueError, with what to do instead."""
    made = KINDS.get(kind) if isinstance(kind, str) else None
    if made is None:
        raise ValueError(f"there is no fault {kind!r}; there are {', '.join(KINDS)}")
    if not isinstance(only, dict):
        raise ValueError(f"only = {only!r}: this must be some of {', '.join(Only._fields)}, with names")  # noqa: TRY004
    for names, given in ((made.names(), arguments), (list(Only._fields), only)):
        for name in given:
            if name not in names:
                raise ValueError(f"{kind} has no {name!r}; it has {', '.join(names)}")
    if any(not isinstance(name, str) for name in only.values()):
        raise ValueError(f"only = {only!r}: connection, user and vhost are names")
    try:
        return made(only=Only(**only), **arguments)
    except TypeError as error:  # a list, say, where there should be a number
        raise ValueError(str(error)) from None
