"""A broker for tests, within their process: `with Broker() as b:`, and connect to `b.url`.

What is named here is only imported when it is used, so that a test run which never starts a broker pays nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amqpbroker.testing.broker import Broker as Broker
    from amqpbroker.testing.inspector import QueueState as QueueState
    from amqpbroker.testing.message import Message as Message
    from amqpbroker.testing.recorder import Refusal as Refusal
    from amqpbroker.testing.vhost import Vhost as Vhost

#: Where each name comes from.
_PLACES = {
    "Broker": "amqpbroker.testing.broker",
    "Message": "amqpbroker.testing.message",
    "QueueState": "amqpbroker.testing.inspector",
    "Refusal": "amqpbroker.testing.recorder",
    "Vhost": "amqpbroker.testing.vhost",
}

__all__ = ["Broker", "Message", "QueueState", "Refusal", "Vhost"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PLACES[name]), name)
