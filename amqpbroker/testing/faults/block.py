"""A broker that is short of something, so that publishers have to wait."""

import dataclasses
from typing import Literal, get_args

from amqpbroker.broker.alarms import Resource
from amqpbroker.testing.faults.fault import Fault


@dataclasses.dataclass(eq=False)
class Block(Fault):
    """See `Faults.block`."""

    kind = "block"

    resource: Literal["memory", "disk"] = "memory"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.resource not in get_args(Resource):
            raise ValueError(f"resource = {self.resource!r}: a broker is short of memory or disk")
        if any(self.only):
            raise ValueError(
                "a broker that is short of something blocks all who publish, not only some: order it of the broker, "
                "as b.faults.block() or amqp_broker.faults.block()"
            )

    def begin(self) -> None:
        if self.target.broker is not None:
            self.target.set_alarm(self.resource)
            self.record(None, f"low on {self.resource}")

    def end(self) -> None:
        self.target.clear_alarm(self.resource)
