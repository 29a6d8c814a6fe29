"""Every resource of the API, a file for each family."""

from amqpbroker.management.resource import Resource
from amqpbroker.management.routes import sessions

RESOURCES: tuple[Resource, ...] = (*sessions.RESOURCES,)
