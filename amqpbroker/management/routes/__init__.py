"""Every resource of the API, a file for each family."""

from amqpbroker.management.resource import Resource
from amqpbroker.management.routes import (
    auth,
    bindings,
    connections,
    definitions,
    exchanges,
    features,
    health,
    limits,
    messages,
    nodes,
    overview,
    parameters,
    permissions,
    policies,
    queues,
    sessions,
    users,
    vhosts,
)

RESOURCES: tuple[Resource, ...] = (
    *overview.RESOURCES,
    *nodes.RESOURCES,
    *connections.RESOURCES,
    *exchanges.RESOURCES,
    *queues.RESOURCES,
    *bindings.RESOURCES,
    *definitions.RESOURCES,
    *messages.RESOURCES,
    *auth.RESOURCES,
    *features.RESOURCES,
    *health.RESOURCES,
    *limits.RESOURCES,
    *parameters.RESOURCES,
    *permissions.RESOURCES,
    *policies.RESOURCES,
    *sessions.RESOURCES,
    *users.RESOURCES,
    *vhosts.RESOURCES,
)
