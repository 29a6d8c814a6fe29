"""Alarms of memory and disk, which block publishers."""

import dataclasses
from typing import Literal, get_args

from amqpbroker.broker.alarms import Resource
from amqpbroker.testing.faults.fault import Fault
from amqpbroker.testing.hints import did_you_mean


@dataclasses.dataclass(eq=False)
class Block(Fault):
    """See `Faults.block`."""

    kind = "block"

    resource: Literal["memory", "disk"] = "memory"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.resource not in get_args(Resource):
            hint = did_you_mean(self.resource, get_args(Resource))
            raise ValueError(f"resource = {self.resource!r}: this must be 'memory' or 'disk'{hint}")
        if any(self.only):
            raise ValueError(
                f"{self}: an alarm blocks the publishers of the whole broker, not only some; "
                "call b.faults.block() or amqp_broker.faults.block()"
            )

    def begin(self) -> None:
        if self.target.broker is not None:
            self.target.set_alarm(self.resource)
            self.record(None, f"low on {self.resource}")

    def end(self) -> None:
        self.target.clear_alarm(self.resource)
