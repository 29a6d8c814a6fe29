"""The testing API over HTTP, for tests in any language, a file for each subject."""

from amqpbroker.testing.routes import clock, faults, inspection, restart
from amqpbroker.testing.routes.route import Route

ROUTES: tuple[Route, ...] = (*clock.ROUTES, *inspection.ROUTES, *faults.ROUTES, *restart.ROUTES)
