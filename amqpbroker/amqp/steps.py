"""Steps that are all taken even if one of them raises. Connections and channels close in such steps."""

import contextlib
import logging
from collections.abc import Callable, Iterable

log = logging.getLogger(__name__)

Step = Callable[[], object]


def take_all(steps: Iterable[Step], name: str) -> None:
    """Take each step. Never raises: an exception is logged with `name`, and the next step follows."""
    for step in steps:
        try:
            step()
        except Exception:
            log_failure("while closing", name)


def log_failure(when: str, name: str) -> None:
    """Log the exception that is being handled. Never raises, because logging itself may have failed."""
    with contextlib.suppress(Exception):
        log.exception("internal error %s %s", when, name)
