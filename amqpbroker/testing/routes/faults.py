"""HTTP resources for faults: list, order and remove them."""

from typing import Any

from amqpbroker.management import failure
from amqpbroker.management.call import Call
from amqpbroker.management.formats.tables import shown_name
from amqpbroker.testing.faults.fault import Fault
from amqpbroker.testing.faults.kinds import make
from amqpbroker.testing.instance import Instance
from amqpbroker.testing.routes.route import Route


async def show(instance: Instance, call: Call) -> dict[str, Any]:
    """`faults` that were ordered, each with its `id`, `kind`, what it was ordered with as `fault`, how often it has
    `struck`, and whether it may strike again as `active`; and what has `happened`: `fault`, `what`, `connection` and
    `at`, in milliseconds since 1970 by the broker's time."""
    await instance.time_travel.quiesce()
    happened = [
        {
            "fault": shown_name(struck.fault),
            "what": shown_name(struck.what),
            "connection": shown_name(struck.connection),
            "at": round(struck.at.timestamp() * 1000),
        }
        for struck in instance.faults.happened
    ]
    return {"faults": [_shown(fault) for fault in instance.faults.faults], "happened": happened}


async def order(instance: Instance, call: Call) -> dict[str, Any]:
    """Orders a fault: `{"kind": "nack", "publish": 3, "only": {"user": "shop"}}`, a method of `Broker.faults` with what
    it takes. Answered with its `id` and the rest, when it is in force."""
    arguments = call.need("kind")
    kind, only = arguments.pop("kind"), arguments.pop("only", {})
    try:
        fault = make(kind, arguments, only)
        instance.faults.add(fault)
    except ValueError as error:
        raise failure.bad_request(shown_name(str(error))) from None
    await instance.time_travel.quiesce()
    return _shown(fault)


async def clear(instance: Instance, call: Call) -> dict[str, Any]:
    """Nothing goes wrong any more, and what has happened is forgotten. Confirms that were kept are sent."""
    instance.faults.remove(instance.faults.faults)
    instance.faults.happened.clear()
    return await show(instance, call)


async def end(instance: Instance, call: Call) -> dict[str, Any]:
    """This one is in force no more."""
    gone = [fault for fault in instance.faults.faults if str(fault.id) == call.path["id"]]
    if not gone:
        raise failure.not_found()
    instance.faults.remove(gone)
    return await show(instance, call)


def _shown(fault: Fault) -> dict[str, Any]:
    return {
        "id": fault.id,
        "kind": fault.kind,
        "fault": shown_name(str(fault)),
        "struck": fault.struck,
        "active": not fault.is_spent,
    }


ROUTES = (
    Route("/testing/faults", get=show, post=order, delete=clear),
    Route("/testing/faults/{id}", delete=end),
)
