"""The version of the broker with the state of its compiled core."""

from amqpbroker import __version__
from amqpbroker.compiled import how_it_runs


def described() -> str:
    """Return the line that `amqpbroker --version` prints."""
    return f"amqpbroker {__version__} ({how_it_runs()})"


def run(words: list[str]) -> int | None:
    """Print the version. Return the exit status, or None if other words follow."""
    if words:
        return None
    print(described())  # noqa: T201
    return 0
