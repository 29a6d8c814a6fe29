"""Times as the API writes them: ISO 8601 in UTC."""

from datetime import UTC, datetime


def iso(at_ms: int) -> str:
    """Such as 2026-11-25T00:43:29.298+00:00; given in milliseconds since the epoch."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
