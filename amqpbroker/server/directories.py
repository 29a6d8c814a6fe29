"""Directories of a broker on this machine."""

from pathlib import Path


def default_directory() -> Path:
    """Return the user's own data directory, for brokers and tools that name no other."""
    import platformdirs  # most brokers and tools name one

    return platformdirs.user_data_path("amqpbroker", appauthor=False)
