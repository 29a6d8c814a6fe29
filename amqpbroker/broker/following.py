"""Following definitions that another broker changes: its changes are made here, too, as they were made there."""

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from amqpbroker.broker.policies.policies import OPERATOR_POLICY, POLICY
from amqpbroker.broker.users.users import User
from amqpbroker.errors import AmqpError
from amqpbroker.store.definitions.definitions import (
    Definition,
    GlobalParameterDefinition,
    ParameterDefinition,
    PermissionDefinition,
    TopicPermissionDefinition,
    UserDefinition,
    VhostDefinition,
)

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker

log = logging.getLogger(__name__)

#: Kinds that are followed, each after those that its definitions refer to.
FOLLOWED: Final[tuple[type[Any], ...]] = (
    GlobalParameterDefinition,
    VhostDefinition,
    UserDefinition,
    PermissionDefinition,
    TopicPermissionDefinition,
    ParameterDefinition,
)


def follow(broker: "Broker", put: Iterable[Definition], removed: Iterable[Definition]) -> None:
    """Make the changes that another broker has stored: definitions that are new or changed, and removed ones.

    The definitions of `broker` store nothing meanwhile. A change that is refused here, such as a policy that this
    version does not know, is logged and skipped.
    """

    def parameter(put: ParameterDefinition) -> None:
        component, vhost, name, value = put
        if component in (POLICY, OPERATOR_POLICY):
            broker.policies.put_value(vhost, name, value, component == OPERATOR_POLICY)
        else:
            broker.parameters.put(component, vhost, name, value)

    removing: dict[type[Any], Callable[[Any], object]] = {
        GlobalParameterDefinition: lambda gone: broker.global_parameters.delete(gone.name),
        VhostDefinition: lambda gone: broker.remove_vhost(gone.name),
        UserDefinition: lambda gone: broker.users.delete_user(gone.name),
        PermissionDefinition: lambda gone: broker.users.clear_permissions(gone.user, gone.vhost),
        TopicPermissionDefinition: lambda gone: broker.users.clear_topic_permissions(
            gone.user, gone.vhost, gone.exchange
        ),
        ParameterDefinition: lambda gone: broker.parameters.delete(gone.component, gone.vhost, gone.name),
    }
    putting: dict[type[Any], Callable[[Any], object]] = {
        GlobalParameterDefinition: lambda put: broker.global_parameters.put(put.name, put.value),
        VhostDefinition: broker.put_vhost,
        UserDefinition: lambda put: broker.users.put(User(*put)),
        PermissionDefinition: lambda put: broker.users.set_permissions(*put),
        TopicPermissionDefinition: lambda put: broker.users.set_topic_permissions(*put),
        ParameterDefinition: parameter,
    }
    gone, new = list(removed), list(put)
    for kind in reversed(FOLLOWED):
        for definition in gone:
            if type(definition) is kind:
                _change(removing[kind], definition)
    for kind in FOLLOWED:
        for definition in new:
            if type(definition) is kind:
                _change(putting[kind], definition)


def _change(change: Callable[[Any], object], definition: Definition) -> None:
    try:
        change(definition)
    except LookupError:
        # It went with something that was removed before, such as a permission with its user.
        pass
    except (AmqpError, ValueError) as error:
        log.error("a change that another broker has made cannot be made here: %s", error)  # noqa: TRY400 - no bug
