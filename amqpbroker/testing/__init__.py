"""A broker for tests, within their process: `with Broker() as b:`, and connect to `b.url`.

Names are imported on first use, so that a test run which never starts a broker costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amqpbroker.testing.aio.broker import AsyncBroker as AsyncBroker
    from amqpbroker.testing.aio.stream import AsyncStream as AsyncStream
    from amqpbroker.testing.aio.vhost import AsyncVhost as AsyncVhost
    from amqpbroker.testing.batch_state import BatchState as BatchState
    from amqpbroker.testing.broker import Broker as Broker
    from amqpbroker.testing.inspector import GroupState as GroupState
    from amqpbroker.testing.inspector import LockedMessage as LockedMessage
    from amqpbroker.testing.inspector import QueueState as QueueState
    from amqpbroker.testing.job_state import JobState as JobState
    from amqpbroker.testing.message import Message as Message
    from amqpbroker.testing.recorder import Refusal as Refusal
    from amqpbroker.testing.redriving import Redriven as Redriven
    from amqpbroker.testing.stream import Stream as Stream
    from amqpbroker.testing.vhost import Vhost as Vhost

#: Name -> its module.
_PLACES = {
    "AsyncBroker": "amqpbroker.testing.aio.broker",
    "AsyncStream": "amqpbroker.testing.aio.stream",
    "AsyncVhost": "amqpbroker.testing.aio.vhost",
    "Broker": "amqpbroker.testing.broker",
    "BatchState": "amqpbroker.testing.batch_state",
    "JobState": "amqpbroker.testing.job_state",
    "GroupState": "amqpbroker.testing.inspector",
    "LockedMessage": "amqpbroker.testing.inspector",
    "Message": "amqpbroker.testing.message",
    "QueueState": "amqpbroker.testing.inspector",
    "Redriven": "amqpbroker.testing.redriving",
    "Refusal": "amqpbroker.testing.recorder",
    "Stream": "amqpbroker.testing.stream",
    "Vhost": "amqpbroker.testing.vhost",
}

__all__ = [
    "AsyncBroker",
    "AsyncStream",
    "AsyncVhost",
    "BatchState",
    "Broker",
    "GroupState",
    "LockedMessage",
    "Message",
    "QueueState",
    "Redriven",
    "Refusal",
    "Stream",
    "Vhost",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from amqpbroker.testing.hints import did_you_mean

    hint = did_you_mean(name, __all__) or f"; it has {', '.join(__all__)}"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
