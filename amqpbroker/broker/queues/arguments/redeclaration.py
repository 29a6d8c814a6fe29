"""Declarations of an existing queue with other arguments.

RabbitMQ refuses them. The setting `queue.redeclare` and the policy key `redeclare`, which has precedence, are the mode:

- `strict`: a difference is refused, as in RabbitMQ.
- `warn`: the declaration is accepted and changes nothing. The differences are logged, and shown with the queue.
- `update`: the queue gets the declared arguments, unless one of them is fixed (`Argument.fixed`).

No mode accepts another queue type, or other flags.
"""

import logging
from typing import Final, final

from amqpbroker.broker.queues.arguments.arguments import QUEUE_TYPE, STRICT, UPDATE, WARN
from amqpbroker.broker.queues.arguments.declaration import check_arguments, check_retry
from amqpbroker.broker.queues.arguments.difference import Difference
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.config import Config
from amqpbroker.wire.values import Table

log = logging.getLogger(__name__)

#: Number of differences that are recorded for one queue, the latest ones.
KEPT: Final = 16


def redeclaration_mode(queue: Queue, config: Config) -> str:
    """Return the mode for declarations of an existing queue."""
    if not config.compat.extensions:
        return STRICT
    mode: str = queue.effective.definition.get("redeclare", config.redeclare)
    return mode


@final
class Redeclaration:
    """One declaration of an existing queue that differs in arguments.

    differences: those of `queue_differences`, at least one. declared: the arguments of the declaration.
    """

    def __init__(
        self, queue: Queue, vhost: str, declared: Table, differences: list[Difference], config: Config
    ) -> None:
        self._queue = queue
        self._vhost = vhost
        self._declared = declared
        self._differences = differences
        self._known = queue.kind.arguments_in(config.compat)
        self._compat = config.compat
        self._mode = redeclaration_mode(queue, config)

    def check(self) -> None:
        """Raise AmqpError 406 if the mode does not accept a difference, or if the declaration is invalid."""
        name, kind = self._queue.name, self._queue.kind
        for each in self._differences:
            if self._refuses(each.argument):
                raise each.refusal("queue", name, self._vhost)
        check_arguments(name, self._vhost, kind, self._declared, self._compat)
        check_retry(name, self._vhost, self._declared, self._queue.effective.definition)

    def _refuses(self, argument: str) -> bool:
        if self._mode == WARN:
            return argument == QUEUE_TYPE
        return self._mode != UPDATE or self._known[argument].fixed

    @property
    def changes(self) -> bool:
        """Return whether the queue gets other arguments."""
        return self._mode == UPDATE

    def arguments(self) -> Table:
        """Return the arguments that the queue gets. Fixed ones, and those that its type does not know, stay."""
        kept = {name: field for name, field in self._queue.arguments.items() if self._stays(name)}
        new = {name: field for name, field in self._declared.items() if not self._stays(name)}
        both = kept | new
        return {name: both[name] for name in sorted(both)}

    def _stays(self, argument: str) -> bool:
        return argument not in self._known or self._known[argument].fixed

    def log(self, by: str) -> None:
        """Log the differences. In mode `warn`, record them with the queue, and log only those that are new.

        by: the client that sent the declaration.
        """
        queue, found = self._queue, [each.shortened() for each in self._differences]
        if self.changes:
            what = "; ".join(map(str, found))
            log.info(
                "queue '%s' in vhost '%s' has new arguments, declared by %s: %s", queue.name, self._vhost, by, what
            )
            queue.record_differences(())
            return
        new = [each for each in found if each not in queue.differences]
        if new:
            log.warning(
                "queue '%s' in vhost '%s' was declared by %s with arguments that differ, and stays as it is: %s",
                queue.name,
                self._vhost,
                by,
                "; ".join(map(str, new)),
            )
            queue.record_differences((*queue.differences, *new)[-KEPT:])
