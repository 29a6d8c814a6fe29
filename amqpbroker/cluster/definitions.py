"""Import of definitions by brokers that share vhosts: `management` is imported only if there is something to import."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from amqpbroker.broker.broker import Broker
from amqpbroker.config import Definitions
from amqpbroker.server.definitions import UnusableDefinitionsError

if TYPE_CHECKING:
    from amqpbroker.broker.node import Node
    from amqpbroker.management.shared_requests import SharedRequests


def import_first_definitions(broker: Broker, definitions: Definitions) -> None:
    """Import what a blank broker that shares vhosts writes for all brokers. Raises UnusableDefinitionsError."""
    if not definitions.paths:
        return

    from amqpbroker.management.definitions.failure import DefinitionsError
    from amqpbroker.management.definitions.importing import import_first

    try:
        import_first(broker, definitions.paths)
    except DefinitionsError as error:
        raise UnusableDefinitionsError(str(error)) from error


async def import_shared_definitions(
    broker: Broker, node: "Node", requests: Callable[[], "SharedRequests"], definitions: Definitions
) -> None:
    """Import definitions by the brokers that they concern, and wait for these. Raises UnusableDefinitionsError.

    requests: returns the part of the management API that sends requests to other brokers.
    """
    if not definitions.paths:
        return

    from amqpbroker.cluster.requests.shared_import import SharedImport
    from amqpbroker.management.app import build_app
    from amqpbroker.management.definitions.failure import DefinitionsError

    try:
        await SharedImport(build_app(broker, node, shared=requests()), broker, node.token).run(definitions)
    except DefinitionsError as error:
        raise UnusableDefinitionsError(str(error)) from error
