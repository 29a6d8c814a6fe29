"""A restart of the broker."""

from typing import Any

from amqpbroker.management import failure
from amqpbroker.management.call import Answer, Call
from amqpbroker.management.formats.tables import shown_name
from amqpbroker.testing.instance import Instance
from amqpbroker.testing.routes.route import Route


def show(instance: Instance, call: Call) -> dict[str, int]:
    """How many restarts there were: `{"restarts": 1}`."""
    return {"restarts": instance.restarts}


def restart(instance: Instance, call: Call) -> Any:
    """Restarts the broker, as a server is: durable queues, their persistent messages, users and the like are there
    again on the same ports, also with `--in-memory`; time goes on. `{"down": 2}` leaves two seconds in between.
    Answered with 202 before it happens, and with the number that `GET` tells then: `{"restarts": 2}`."""
    body = call.body()
    for name in body:
        if name != "down":
            raise failure.bad_request(f"a restart has no {shown_name(name)!r}; it has down")
    try:
        instance.restart(body.get("down", 0))
    except ValueError as error:
        raise failure.bad_request(shown_name(str(error))) from None
    return Answer(202, {"restarts": instance.restarts + 1})


ROUTES = (Route("/testing/restart", get=show, post=restart),)
