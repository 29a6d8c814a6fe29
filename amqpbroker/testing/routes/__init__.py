"""The testing API: what tests in any language look at and turn. A file for each family."""

from amqpbroker.testing.routes import clock, faults, restart, sight
from amqpbroker.testing.routes.route import Route

ROUTES: tuple[Route, ...] = (*clock.ROUTES, *sight.ROUTES, *faults.ROUTES, *restart.ROUTES)
