"""Common parts of the Python clients' scripts: names of checks, and restarts of the broker.

A script prints its results to standard output, one per line: `PASS name`, `FAIL name reason` or `NA name reason`, and
`VERSION text` for the client's own version. The line `RESTART` requests a new broker process on the same port; the line
`RESTARTED` on standard input is the answer. Scripts in other languages use the same lines.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")
MANAGEMENT_URL = os.environ.get("MANAGEMENT_URL", "http://127.0.0.1:15672")

E = TypeVar("E", bound=BaseException)

_failures = 0


def version(package: str) -> None:
    """Print the version of an installed package."""
    version_is(f"{package} {importlib.metadata.version(package)}")


def version_is(text: str) -> None:
    """Print a version that is not that of a package."""
    _say(f"VERSION {text}")


def not_applicable(name: str, reason: str) -> None:
    """Report that the client cannot express the check `name`."""
    _say(f"NA {name} {reason}")


@contextmanager
def check(name: str) -> Iterator[None]:
    """Run the block as the check `name`: it passes unless it raises."""
    global _failures
    try:
        yield
    except Exception as error:
        traceback.print_exc()
        _failures += 1
        where = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {error} [{os.path.basename(where.filename)}:{where.lineno} {where.line}]"
        _say(f"FAIL {name} {' '.join(reason.split())}")
    else:
        _say(f"PASS {name}")


class expect(Generic[E]):  # noqa: N801 - used like a function, as pytest.raises is
    """A block that must raise an error of this type; `.error` is that error afterwards."""

    error: E

    def __init__(self, error_type: type[E]) -> None:
        self.error_type = error_type

    def __enter__(self) -> expect[E]:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if error is None:
            raise AssertionError(f"no {self.error_type.__name__} came")
        if not isinstance(error, self.error_type):
            return False
        self.error = error
        return True


def restart_broker() -> None:
    """Return when a new broker process listens on the port of the old one."""
    _say("RESTART")
    if sys.stdin.readline().strip() != "RESTARTED":
        raise EOFError("the broker was not restarted")


def finish() -> None:
    """Exit with 0 only if no check failed."""
    sys.exit(1 if _failures else 0)


def _say(line: str) -> None:
    print(line, flush=True)
