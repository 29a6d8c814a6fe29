"""HTTP resources for faults: list, order and remove them."""

from typing import Any

from amqpbroker.management import failure
from amqpbroker.management.call import Call
from amqpbroker.management.formats.tables import shown_name
from amqpbroker.testing.faults.fault import Fault
from amqpbroker.testing.faults.kinds import make
from amqpbroker.testing.instance import Instance
from amqpbroker.testing.routes.route import Route, missing


async def show(instance: Instance, call: Call) -> dict[str, Any]:
    """The injected `faults`, each with its `id`, `kind`, its arguments as `fault`, the number of times that it has
    `struck`, and whether it may still trigger as `active`; and each time that one `happened`: `fault`, `what`,
    `connection` and `at`, in milliseconds since 1970 by the broker's clock."""
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
    """Injects a fault: `{"kind": "nack", "publish": 3, "only": {"user": "shop"}}`, a method of `Broker.faults` with its
    arguments. Answers with its `id` and the rest once it is active."""
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
    """Removes all faults and the record of those that happened. Confirms that they held back are sent."""
    instance.faults.remove(instance.faults.faults)
    instance.faults.happened.clear()
    return await show(instance, call)


async def end(instance: Instance, call: Call) -> dict[str, Any]:
    """Removes one fault. Confirms that it held back are sent."""
    gone = [fault for fault in instance.faults.faults if str(fault.id) == call.path["id"]]
    if not gone:
        ids = ", ".join(str(fault.id) for fault in instance.faults.faults) or "none"
        raise missing(f"there is no fault with the id {call.path['id']}; the ids of the faults are: {ids}")
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
