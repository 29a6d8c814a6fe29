"""The components in which local queues of one kind differ from those of another."""

from collections.abc import Callable
from typing import NamedTuple, final

from amqpbroker.broker.queues.consumers import Consumers
from amqpbroker.broker.queues.dispatcher import Dispatcher
from amqpbroker.broker.queues.lines.pages import Pager
from amqpbroker.broker.queues.lines.ready_line import ReadyLine
from amqpbroker.broker.queues.returns import Returns
from amqpbroker.compat import Compat


@final
class LocalParts(NamedTuple):
    """The components of a `LocalQueue` that its kind chooses.

    line(max_priority, compat, pager): returns the line of waiting messages. consumers: distributes messages among
    consumers. dispatcher: delivers waiting messages. returns: handles returned messages.
    """

    line: Callable[[int, Compat, Pager | None], ReadyLine]
    consumers: type[Consumers]
    dispatcher: type[Dispatcher]
    returns: type[Returns]
