"""Definitions out and in (rabbit_mgmt_wm_definitions.erl)."""

import re
from functools import partial
from typing import Any

from amqpbroker.management import failure
from amqpbroker.management.bodies import form_field
from amqpbroker.management.call import NO_CONTENT, Answer, Call
from amqpbroker.management.definitions.division import CONTENTS
from amqpbroker.management.definitions.export import Exported, exported, exported_vhost
from amqpbroker.management.definitions.importing import imported
from amqpbroker.management.definitions.plan import Plan, parsed
from amqpbroker.management.identity import Access
from amqpbroker.management.resource import Resource


def export(call: Call) -> Exported:
    return _offered(call, exported(call.broker))


def export_vhost(call: Call) -> Exported:
    vhost = call.broker.vhosts.get(call.path["vhost"])
    if vhost is None:
        raise failure.bad_request("vhost_not_found")
    return _offered(call, exported_vhost(call.broker, vhost))


def _offered(call: Call, document: dict[str, Any]) -> Exported:
    """Return the definitions, with a file name for the browser if the request has one."""
    name = re.sub(r"[^\w.-]", "_", call.query.get("download", ""), flags=re.ASCII)
    headers = {"content-disposition": f"attachment; filename={name}"} if name else {}
    return Exported(document, headers)


async def load(call: Call) -> Answer:
    """The body is the document, or a form with the document as `file`. Nothing changes if it cannot be imported."""
    return await load_document(call, document_of(call), call.path.get("vhost"))


def document_of(call: Call) -> dict[str, Any]:
    """Return the document of the body. Raises ValueError, ApiError if there is no vhost for it."""
    vhost = call.path.get("vhost")
    if vhost is not None and vhost not in call.broker.defined_vhosts:
        raise failure.no_vhost()
    content_type = call.request.headers.get("content-type", "")
    return parsed(form_field(call.raw, content_type, "file") if content_type.startswith("multipart/") else call.raw)


async def load_document(call: Call, document: dict[str, Any], vhost: str | None) -> Answer:
    if vhost is not None and call.broker.is_elsewhere(vhost) and any(document.get(section) for section in CONTENTS):
        raise failure.moved(vhost)
    plan = Plan(call.broker, document, vhost, call.identity.user.name)
    await imported(plan, call.rows, call.check, partial(_check_is_there, call))
    return NO_CONTENT


def _check_is_there(call: Call) -> None:
    """Raises ApiError 401 if the user was deleted. The imported document may change the user, but cannot delete it."""
    if not call.identity.all_powerful and not call.broker.users.has(call.identity.user.name):
        raise failure.wrong_login()


def _all(path: str) -> Resource:
    return Resource(
        path,
        Access.ADMIN,
        get=export,
        post=load,
    )


RESOURCES = (
    _all("/definitions"),
    _all("/all-configuration"),
    Resource(
        "/definitions/{vhost}",
        Access.ADMIN,
        get=export_vhost,
        post=load,
        any_vhost=True,
    ),
)
