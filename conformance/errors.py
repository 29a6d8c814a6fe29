"""Errors that stop a case."""

from __future__ import annotations


class MalformedFrameError(Exception):
    """The broker sent bytes that are not an AMQP 0-9-1 frame."""


class CaseStoppedError(Exception):
    """A case cannot continue: an expected event was not received, or its channel is closed.

    Its transcript is still used.
    """


class SetupError(Exception):
    """The harness itself failed (target unreachable, management API refuses)."""


class UnsuitableCaseError(Exception):
    """A case cannot run on another kind of queue: it sets the kind of its queues itself, or has no queues."""
