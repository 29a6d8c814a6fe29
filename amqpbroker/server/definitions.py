"""Seam to the import of definitions at start: `management` is imported only if there is something to import."""

from amqpbroker.broker.broker import Broker
from amqpbroker.config import Definitions


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
