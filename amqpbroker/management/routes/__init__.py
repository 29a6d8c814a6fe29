"""Every resource of the API, a file for each family."""

from amqpbroker.management.resource import Resource
from amqpbroker.management.routes import limits, parameters, permissions, policies, sessions, users, vhosts

RESOURCES: tuple[Resource, ...] = (
    *limits.RESOURCES,
    *parameters.RESOURCES,
    *permissions.RESOURCES,
    *policies.RESOURCES,
    *sessions.RESOURCES,
    *users.RESOURCES,
    *vhosts.RESOURCES,
)
