"""The one connection, with one channel, by which a job does its work."""

from amqpbroker.cli.perf.client import ABANDON_S, Access, Client


class SoleClient:
    """Plain data until it is opened."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._client: Client | None = None

    def open(self) -> str:
        """Connect, and open channel 1. Returns what the broker says it is. Raises PerfError."""
        self._client = Client(self._access, "perf")
        self._client.open_channel()
        return self._client.product

    @property
    def client(self) -> Client:
        """There once it is opened."""
        assert self._client is not None
        return self._client

    def abandon(self) -> None:
        """Close it, if it is there, as something went wrong."""
        if self._client is not None:
            self._client.close(ABANDON_S)
