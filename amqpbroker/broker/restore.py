"""Restore all durable objects when a broker starts, as they were declared."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from amqpbroker.broker.durable import stored_arguments
from amqpbroker.broker.policies.limits import VHOST_LIMITS
from amqpbroker.broker.policies.policies import OPERATOR_POLICY, POLICY
from amqpbroker.broker.queues.streams.queue import StreamQueue
from amqpbroker.broker.shovels.shovels import SHOVEL
from amqpbroker.broker.storage import Storage
from amqpbroker.errors import AmqpError
from amqpbroker.store.definitions.definitions import (
    BindingDefinition,
    D,
    Definition,
    Definitions,
    ExchangeDefinition,
    GlobalParameterDefinition,
    ParameterDefinition,
    PermissionDefinition,
    QueueDefinition,
    StreamOffsetDefinition,
    TopicPermissionDefinition,
    UserDefinition,
    VhostDefinition,
)

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker

log = logging.getLogger(__name__)

#: Fields of definitions that identify an object.
_NAMES = ("vhost", "name", "user", "exchange", "source", "destination", "routing_key", "queue", "consumer")


def restore(broker: "Broker") -> None:
    """Restore all stored definitions through the functions that clients' declarations use.

    A definition that can no longer be restored (it is refused now, or its row is damaged) is logged and skipped, but
    stays stored. Raises StoreError if the definitions cannot be read.
    """
    users, definitions = broker.users, broker.definitions

    def parameter(stored: ParameterDefinition) -> None:
        if stored.component in (POLICY, OPERATOR_POLICY):
            broker.policies.restore(stored)
        elif stored.component == VHOST_LIMITS:
            broker.limits.restore(stored)
        elif stored.component == SHOVEL:
            broker.shovels.restore(stored)

    _each(definitions.all(GlobalParameterDefinition), broker.global_parameters.restore)
    # Exchanges of the vhosts are restored after the policies, which may apply to them.
    _each(definitions.all(ParameterDefinition), parameter)
    _each(definitions.all(VhostDefinition), broker.restore_vhost)
    _each(definitions.all(UserDefinition), users.restore_user)
    _each(definitions.all(PermissionDefinition), users.restore_permission)
    _each(definitions.all(TopicPermissionDefinition), users.restore_topic_permission)
    restore_objects(broker, broker.storage)


def restore_objects(broker: "Broker", storage: Storage) -> None:
    """Restore the durable exchanges, queues and bindings of the vhosts of a storage, and the offsets of streams.

    See `restore`. The storage retains the messages of queues and exchanges that cannot be restored.
    """
    definitions = storage.definitions

    def exchange(stored: ExchangeDefinition) -> None:
        broker.vhost(stored.vhost).declare_exchange(
            stored.name,
            stored.type,
            durable=True,
            auto_delete=stored.auto_delete,
            internal=stored.internal,
            arguments=stored_arguments(stored.arguments),
            stored_id=stored.id,
        )

    def queue(stored: QueueDefinition) -> None:
        broker.vhost(stored.vhost).declare_queue(
            stored.name,
            durable=True,
            exclusive=False,
            auto_delete=stored.auto_delete,
            arguments=stored_arguments(stored.arguments),
            stored=stored,
        )

    def binding(stored: BindingDefinition) -> None:
        vhost = broker.vhost(stored.vhost)
        vhost.bind(
            vhost.exchange(stored.source),
            vhost.exchange(stored.destination) if stored.to_exchange else vhost.queue(stored.destination, None),
            stored.routing_key,
            stored_arguments(stored.arguments),
            stored=True,
        )

    def stream_offset(stored: StreamOffsetDefinition) -> None:
        stream = broker.vhost(stored.vhost).queue(stored.queue, None)
        if isinstance(stream, StreamQueue):
            stream.tracking().restore(stored)

    lost_exchanges = _each(definitions.all(ExchangeDefinition), exchange)
    lost_queues = _each(definitions.all(QueueDefinition), queue)
    _each(_without_strays(definitions), binding)
    _each(definitions.all(StreamOffsetDefinition), stream_offset)
    storage.lose([*(lost.id for lost in lost_exchanges if lost.id), *(lost.id for lost in lost_queues)])


def _without_strays(definitions: Definitions) -> list[BindingDefinition]:
    """Return the stored bindings without those of queues and exchanges that are not stored.

    A broker that ends before it has removed all bindings of a deleted queue or exchange leaves such bindings. A queue
    or exchange that is stored but cannot be restored keeps its bindings.
    """
    queues = {(stored.vhost, stored.name) for stored in definitions.all(QueueDefinition)}
    exchanges = {(stored.vhost, stored.name) for stored in definitions.all(ExchangeDefinition)}

    def is_exchange(vhost: str, name: str) -> bool:
        return name.startswith("amq.") or (vhost, name) in exchanges

    def strays(stored: BindingDefinition) -> bool:
        vhost, name = stored.vhost, stored.destination
        leads = is_exchange(vhost, name) if stored.to_exchange else (vhost, name) in queues
        return not (leads and is_exchange(vhost, stored.source))

    found = definitions.all(BindingDefinition)
    stray = [stored for stored in found if strays(stored)]
    if stray:
        log.info("removing %d bindings of queues and exchanges that are deleted", len(stray))
        try:
            definitions.remove(*stray)
        except AmqpError as error:
            log.warning("cannot remove the stored bindings of deleted queues and exchanges: %s", error)
        gone = set(stray)
        found = [stored for stored in found if stored not in gone]
    return found


def _each(stored: list[D], make: Callable[[D], object]) -> list[D]:
    """Restore each definition; return the definitions that cannot be restored."""
    lost = []
    for definition in stored:
        try:
            make(definition)
        except (AmqpError, ValueError, LookupError) as error:
            log.error("%s cannot be restored: %s", _named(definition), error)  # noqa: TRY400 - no bug of ours
            lost.append(definition)
    return lost


def _named(definition: Definition) -> str:
    """Describe a definition, without secrets and arguments."""
    kind = type(definition).__name__.removesuffix("Definition").lower()
    return " ".join((kind, *(f"{name} {value!r}" for name, value in definition._asdict().items() if name in _NAMES)))
