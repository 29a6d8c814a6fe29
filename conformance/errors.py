"""What can stop a case."""

from __future__ import annotations


class MalformedFrameError(Exception):
    """The broker sent bytes that are no AMQP 0-9-1 frame."""


class CaseStoppedError(Exception):
    """A case cannot go on: what it waited for never came, or its channel is gone. Its transcript still counts."""


class SetupError(Exception):
    """The harness itself could not do its part (target unreachable, management API refuses)."""


class UnsuitableCaseError(Exception):
    """A case cannot be run on another kind of queue: it says itself of what kind its queues are, or has none."""
