"""Exceptions that a broker catches and logs: clients and users see little of them, and each is a fault."""

import logging
from collections.abc import Callable

from amqpbroker.store.log import StoreError
from amqpbroker.store.record import DamagedError

#: Exceptions that a faulty disk explains.
EXPLAINED = (OSError, StoreError, DamagedError)
HTTP_LOGGER = logging.getLogger("uvicorn.error")
NOWHERE = logging.NullHandler()


class LoggedErrors(logging.Handler):
    """Calls `on_error` with each exception in the log that no fault of the disk explains. Nothing is printed."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.on_error: Callable[[BaseException], None] = lambda _: None
        self._logger = logging.getLogger("amqpbroker")
        self._before = self._logger.propagate, self._logger.level, logging.root.manager.disable

    def start(self) -> None:
        """Handle errors that the broker logs.

        Logs of its HTTP server, also of requests that a crash ends, are ignored.
        """
        HTTP_LOGGER.addHandler(NOWHERE)
        HTTP_LOGGER.propagate = False
        self._logger.addHandler(self)
        self._logger.propagate = False
        self._logger.setLevel(logging.ERROR)
        logging.disable(logging.WARNING)

    def stop(self) -> None:
        """Restore the log."""
        HTTP_LOGGER.removeHandler(NOWHERE)
        HTTP_LOGGER.propagate = True
        self._logger.removeHandler(self)
        self._logger.propagate, level, disabled = self._before
        self._logger.setLevel(level)
        logging.disable(disabled)

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, EXPLAINED):
            self.on_error(error)
