"""HTTP resource for restarts of the broker."""

from typing import Any

from amqpbroker.management import failure
from amqpbroker.management.call import Answer, Call
from amqpbroker.management.formats.tables import shown_name
from amqpbroker.testing.hints import choices
from amqpbroker.testing.instance import Instance
from amqpbroker.testing.routes.route import Route


def show(instance: Instance, call: Call) -> dict[str, int]:
    """The number of restarts so far: `{"restarts": 1}`."""
    return {"restarts": instance.restarts}


def restart(instance: Instance, call: Call) -> Any:
    """Restarts the broker as a server would be: durable queues, their persistent messages, users and the like are
    restored on the same ports, also with `--in-memory`; the broker's time goes on. `{"down": 2}` waits two seconds in
    between. Answers 202 before it happens, with the number that `GET` returns afterwards: `{"restarts": 2}`."""
    body = call.body()
    for name in body:
        if name != "down":
            raise failure.bad_request(f"a restart has no argument {shown_name(name)!r}{choices(name, ['down'])}")
    try:
        instance.restart(body.get("down", 0))
    except ValueError as error:
        raise failure.bad_request(shown_name(str(error))) from None
    return Answer(202, {"restarts": instance.restarts + 1})


ROUTES = (Route("/testing/restart", get=show, post=restart),)
