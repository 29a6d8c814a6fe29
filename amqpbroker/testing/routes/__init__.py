"""The testing API: what tests in any language look at and turn. A file for each family."""

from amqpbroker.testing.routes import clock, faults, inspection, restart
from amqpbroker.testing.routes.route import Route

ROUTES: tuple[Route, ...] = (*clock.ROUTES, *inspection.ROUTES, *faults.ROUTES, *restart.ROUTES)
