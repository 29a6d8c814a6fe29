"""A restart of the broker."""

from typing import Any

from amqpbroker.management.call import Answer, Call
from amqpbroker.testing.lab import Lab
from amqpbroker.testing.routes.route import Route


def show(lab: Lab, call: Call) -> dict[str, int]:
    """How many restarts there were: `{"restarts": 1}`."""
    return {"restarts": lab.restarts}


def restart(lab: Lab, call: Call) -> Any:
    """Restarts the broker, as a server is: durable queues, their persistent messages, users and the like are there
    again on the same ports, also with `--in-memory`; time goes on. Answered with 202 before it happens, and with the
    number that `GET` tells then: `{"restarts": 2}`."""
    lab.restart()
    return Answer(202, {"restarts": lab.restarts + 1})


ROUTES = (Route("/testing/restart", get=show, post=restart),)
