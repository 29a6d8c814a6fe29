"""Parameters and global parameters (rabbit_mgmt_wm_parameter*.erl, rabbit_mgmt_wm_global_parameter*.erl)."""

from typing import Any

from amqpbroker.broker.policies.parameters import Parameter
from amqpbroker.management import failure
from amqpbroker.management.call import NO_CONTENT, Answer, Call, put_answer
from amqpbroker.management.identity import Access
from amqpbroker.management.listing import Listing
from amqpbroker.management.resource import Resource


def _shown(parameter: Parameter) -> dict[str, Any]:
    return {
        "value": parameter.value,
        "vhost": parameter.vhost,
        "component": parameter.component,
        "name": parameter.name,
    }


def parameters(call: Call) -> Listing:
    """Return the parameters of the component and vhost in the path, or of all, in vhosts that the user may use."""
    found = [
        parameter
        for parameter in call.broker.parameters.list(call.path.get("component"), call.path.get("vhost"))
        if call.identity.enters_vhost(parameter.vhost)
    ]
    return Listing(found, _shown, lambda parameter: parameter[:3], paged=False)


def _found(call: Call) -> Parameter:
    """Raises LookupError."""
    return call.broker.parameters.get(call.path["component"], call.definition.name, call.path["name"])


def parameter(call: Call) -> dict[str, Any]:
    return _shown(_found(call))


def put_parameter(call: Call) -> Answer:
    component, name, value = call.path["component"], call.path["name"], call.need("value")["value"]
    created = all(other.name != name for other in call.broker.parameters.list(component, call.definition.name))
    try:
        if not call.identity.all_powerful:
            call.broker.parameters.authorise(component, name, value, call.identity.user)
        call.broker.parameters.put(component, call.definition.name, name, value)
    except ValueError as error:
        raise failure.invalid(error) from error
    return put_answer(created)


def delete_parameter(call: Call) -> Answer:
    _found(call)
    call.broker.parameters.delete(call.path["component"], call.definition.name, call.path["name"])
    return NO_CONTENT


def global_parameters(call: Call) -> list[dict[str, Any]]:
    return [parameter._asdict() for parameter in call.broker.global_parameters.list()]


def global_parameter(call: Call) -> dict[str, Any]:
    return call.broker.global_parameters.get(call.path["name"])._asdict()


def put_global_parameter(call: Call) -> Answer:
    name, value = call.path["name"], call.need("value")["value"]
    created = all(other.name != name for other in call.broker.global_parameters.list())
    call.broker.global_parameters.put(name, value)
    return put_answer(created)


def delete_global_parameter(call: Call) -> Answer:
    call.broker.global_parameters.delete(call.path["name"])
    return NO_CONTENT


RESOURCES = (
    Resource("/parameters", Access.POLICYMAKER, get=parameters),
    Resource("/parameters/{component}", Access.POLICYMAKER, get=parameters),
    Resource("/parameters/{component}/{vhost}", Access.POLICYMAKER, get=parameters),
    Resource(
        "/parameters/{component}/{vhost}/{name}",
        Access.POLICYMAKER,
        get=parameter,
        put=put_parameter,
        delete=delete_parameter,
    ),
    Resource("/global-parameters", Access.POLICYMAKER, get=global_parameters),
    Resource(
        "/global-parameters/{name}",
        Access.POLICYMAKER,
        get=global_parameter,
        put=put_global_parameter,
        delete=delete_global_parameter,
    ),
)
