"""Errors of commands, with their exit statuses."""

from typing import Any

#: Exit statuses (sysexits.h), as rabbitmqctl uses them.
USAGE = 64
DATA = 65
NO_USER = 67
UNAVAILABLE = 69
SOFTWARE = 70


class CtlError(Exception):
    """A command that failed. Its text is for the user; status is the exit status."""

    def __init__(self, text: str, status: int = UNAVAILABLE) -> None:
        super().__init__(text)
        self.status = status


class UsageError(CtlError):
    """A command line that does not fit the command."""

    def __init__(self, text: str) -> None:
        super().__init__(text, USAGE)


class ApiError(CtlError):
    """The management API refused a request. answer: its JSON object, empty if there is none."""

    def __init__(self, http_status: int, reason: str, answer: dict[str, Any] | None = None) -> None:
        super().__init__(reason, DATA if http_status == 404 else UNAVAILABLE)
        self.http_status = http_status
        self.answer = answer or {}
