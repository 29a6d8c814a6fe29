"""Errors that the broker logs with a traceback, and goes on: each is a fault of it that nobody else would notice."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class Tracebacks(logging.Handler):
    """Keeps the first error. first: None without one."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.first: BaseException | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and self.first is None:
            self.first = record.exc_info[1]


@contextmanager
def caught_tracebacks() -> Iterator[Tracebacks]:
    """Catch what the broker logs, and let nothing of it out."""
    logger, handler = logging.getLogger("amqpbroker"), Tracebacks()
    level, propagate, disabled = logger.level, logger.propagate, logging.root.manager.disable
    logger.addHandler(handler)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    logging.disable(logging.NOTSET)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
        logging.disable(disabled)
