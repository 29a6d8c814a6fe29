"""Seam to the import of definitions at start: `management` is imported only if there is something to import."""

from typing import TYPE_CHECKING

from amqpbroker.broker.broker import Broker
from amqpbroker.config import Definitions

if TYPE_CHECKING:
    from amqpbroker.broker.node import Node
    from amqpbroker.management.peers import Peers


class UnusableDefinitionsError(Exception):
    """They cannot be imported. The text names the file and the problem."""


def import_definitions(broker: Broker, definitions: Definitions) -> None:
    """Before anybody can connect. Raises UnusableDefinitionsError."""
    if not definitions.paths:
        return

    # The importer is a part of the management, which is not imported unless it is needed.
    from amqpbroker.management.definitions.failure import DefinitionsError
    from amqpbroker.management.definitions.importing import import_at_start

    try:
        import_at_start(broker, definitions.paths, definitions.skip_if_unchanged)
    except DefinitionsError as error:
        raise UnusableDefinitionsError(str(error)) from error


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


async def import_shared_definitions(broker: Broker, node: "Node", peers: "Peers", definitions: Definitions) -> None:
    """Import definitions by the brokers that they concern, and wait for these. Raises UnusableDefinitionsError."""
    if not definitions.paths:
        return

    from amqpbroker.management.app import build_app
    from amqpbroker.management.definitions.failure import DefinitionsError
    from amqpbroker.management.definitions.shared_import import SharedImport

    try:
        await SharedImport(build_app(broker, node, peers=peers), broker, node.token).run(definitions)
    except DefinitionsError as error:
        raise UnusableDefinitionsError(str(error)) from error
