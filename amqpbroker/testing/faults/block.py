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
        if self.injector.broker is not None:
            self.injector.broker.alarms.set(self.resource)
            self.tell(None, f"low on {self.resource}")

    def end(self) -> None:
        others = [each for each in self.injector.faults if isinstance(each, Block) and each.resource == self.resource]
        if self.injector.broker is not None and not others:
            self.injector.broker.alarms.clear(self.resource)
